"""Everything together: servers, one file service, two housekeepers, three workers, users, and the judge over all."""

import asyncio
import functools
from collections import Counter
from contextlib import suppress
from unittest.mock import patch

from converto_core.access import NewIds
from converto_core.catalogue import Offer
from converto_core.catalogue import Worker as WorkerRecord
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import ObjectStoreUnavailable
from converto_core.events import ConversionCreated
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import source_key
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores
from converto_infra.settings import Settings
from file_service.http.schemas.conversions import NewConversion
from file_service.http.schemas.files import NewFile
from tests.unit.model.judge import Judge, WatchedConversions
from tests.unit.model.network import Weather
from tests.unit.model.processes import Api, Engine, Housekeeper, Process, Servers, Worker
from tests.unit.model.stepped_loop import SteppedLoop

OWNER = "anna"
SOURCE = b"some words\n" * 8
OF_ANOTHER_TYPE = b"\x89PNG\r\n\x1a\n".ljust(len(SOURCE), b"\0")
OF_ANOTHER_SIZE = SOURCE * 2
OFFER = Offer(
    converter="played",
    engine="played",
    engine_version="1",
    family=Family.OFFICE,
    sources=("txt",),
    targets=("pdf",),
    options_schema={"type": "object"},
)
LONG_S = 4 * 3600.0  # longer than any clock is wrong and than any wake-up waits
FAIR_ROUNDS, FAIR_ROUND_S = 40, 5.0


@functools.cache
def settings() -> Settings:
    """Short times, so that few moments of fake time cover a lease; limits that a short run can reach."""
    return Settings(
        beat_interval_s=2,
        lease_s=8,
        sweep_interval_s=2,
        republish_after_s=5,
        republish_max_s=20,
        retry_base_s=2,
        retry_max_s=4,
        max_attempts=2,
        max_lost=3,
        upload_deadline_s=60,
        result_retention_s=30,
        conversion_timeout_s=10,
        work_reserve_bytes=0,
    )


class World:
    """One installation in fake time. Whoever dies is started anew at once, as a supervisor does it."""

    def __init__(self, *, reaper_lease_s: float | None = None) -> None:
        """With `reaper_lease_s` housekeepers believe in another lease than workers do."""
        start_ms = now_ms()
        self._reaper_lease_s = reaper_lease_s or settings().lease_s
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self.stores, self.objects, self.bus = MemoryStores(), SeenObjects(), SeenBus()
        self.judge = Judge(settings(), now=self.loop.time, has_object=self.objects.has, was_sent=self.bus.has_sent)
        self.stores.conversions = WatchedConversions(self.stores, self.stores.history, self.judge)
        self.servers = Servers(
            loop=self.loop,
            stores=self.stores,
            objects=self.objects,
            bus=self.bus,
            settings=settings(),
            start_ms=start_ms,
        )
        self._born: Counter[str] = Counter()
        self._offer(start_ms)
        self.api = Api(self.servers, "api", offset_s=50.0)
        self.housekeepers = [self._housekeeper() for _ in range(2)]
        self.workers = [self._worker() for _ in range(3)]
        # The file service asks the system for the time; its clock is as wrong as anybody else's.
        self._system_time = patch("time.time_ns", lambda: self.api.clock.now_ms() * 1_000_000)
        self._system_time.start()
        self.settle()

    @property
    def processes(self) -> list[Process]:
        return [self.api, *self.housekeepers, *self.workers]

    @property
    def records(self) -> list[Conversion]:
        return [account.record for account in self.judge.accounts.values()]

    @property
    def engines(self) -> list[Engine]:
        return [engine for worker in self.workers for engine in worker.engines]

    def create(self) -> None:
        self._asked = NewIds(conversion_id=new_id(), file_id=new_id())
        self.create_again()

    def create_again(self) -> None:
        """The client repeats its last request, because it heard no answer."""
        new = NewConversion(target_format="pdf", file=NewFile(filename="notes.txt", size_bytes=len(SOURCE)))
        self.api.ask(self.api.wiring.submission.create(OWNER, new, self._asked))

    def submit(self, body: bytes = SOURCE) -> None:
        """The usual way: ask, upload, confirm."""
        self.create()
        self.settle()
        waiting = [record for record in self.records if record.status is Status.AWAITING_UPLOAD]
        for record in waiting[-1:]:
            self.upload(record, body)
            self.confirm(record)

    def confirm(self, record: Conversion) -> None:
        self.api.ask(self.api.wiring.starter.confirm_upload(OWNER, record.file_id))

    def cancel(self, record: Conversion) -> None:
        self.api.ask(self.api.wiring.records.cancel(OWNER, record.id))

    def retry(self, record: Conversion) -> None:
        self.api.ask(self.api.wiring.submission.retry(OWNER, record.id))

    def delete(self, record: Conversion) -> None:
        self.judge.accounts[record.id].removal_asked = True
        self.api.ask(self.api.wiring.records.delete(OWNER, record.id))

    def upload(self, record: Conversion, body: bytes) -> None:
        """The client's PUT, which no process of ours sees; with the object store away it fails."""
        put = self.objects.put(source_key(OWNER, record.file_id, 1), body, content_type="text/plain")
        with suppress(ObjectStoreUnavailable):
            self.loop.run_until_complete(put)

    def settle(self) -> None:
        self.loop.settle()
        self.at_rest()

    def let_pass(self, seconds: float) -> None:
        self.loop.advance(seconds, self.at_rest)

    def kill(self, process: Process) -> None:
        """kill -9, and a new process in its place."""
        process.kill()
        if isinstance(process, Api):
            self.api = Api(self.servers, "api", offset_s=50.0)
        elif isinstance(process, Housekeeper):
            self.housekeepers[self.housekeepers.index(process)] = self._housekeeper()
        elif isinstance(process, Worker):
            self._replace(process)

    def at_rest(self) -> None:
        """What holds whenever everybody waits; see `Judge` for what holds of each change."""
        self.judge.at_rest()
        for worker in self.workers:
            worker.at_rest()
        running = Counter(
            engine.claimed.id for worker in self.workers if not worker.is_frozen for engine in worker.engines
        )
        twice = [conversion_id for conversion_id, times in running.items() if times > 1]
        wrong = self.judge.violations + self.servers.complaints
        assert not twice, f"two engines run on {twice} at {self.loop.time()}"
        assert not wrong, "\n".join(wrong)

    def heal(self) -> None:
        """Everything works again and no engine fails any more."""
        self.stores.is_away = self.bus.is_away = self.objects.is_away = False
        for process in self.processes:
            process.clock.wrong_ms = 0
            process.thaw()
            for line in process.lines:
                line.turn(Weather.CLEAR)
        for worker in self.workers:
            worker.work_willingly()
        self.settle()

    def run_fairly(self) -> None:
        """Let everybody work until each conversion has ended; fails when one of them is stuck."""
        for number in range(FAIR_ROUNDS):
            if all(record.is_terminal for record in self.records):
                return
            self.let_pass(FAIR_ROUND_S)
            for worker in self.workers:
                worker.work_willingly()  # those that were started meanwhile too
            if number == 2:
                self.loop.jump(LONG_S)  # wake-ups that a wrong clock dated hours ahead are due after this
                self.at_rest()
        stuck = [record for record in self.records if not record.is_terminal]
        assert not stuck, f"stuck: {stuck}"

    def close(self) -> None:
        self._system_time.stop()
        for process in self.processes:
            process.kill()
        self.loop.settle()
        self.loop.jump(LONG_S)
        self.loop.close()
        asyncio.set_event_loop(None)

    def _offer(self, start_ms: int) -> None:
        record = WorkerRecord(
            id="first", host="h", pid=1, started_at=start_ms, seen_at=start_ms, slots=2, sandbox="off", offers=(OFFER,)
        )
        self.loop.run_until_complete(self.stores.workers.put(record))

    def _housekeeper(self) -> Housekeeper:
        name, offset_s = self._name("housekeeper")
        return Housekeeper(self.servers, name, offset_s=offset_s, lease_s=self._reaper_lease_s)

    def _worker(self) -> Worker:
        name, offset_s = self._name("worker")
        return Worker(self.servers, name, offset_s=offset_s, on_end=self._replace)

    def _name(self, kind: str) -> tuple[str, float]:
        self._born[kind] += 1
        return f"{kind}-{self._born[kind]}", 700.0 * self._born.total()

    def _replace(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers[self.workers.index(worker)] = self._worker()


class SeenObjects(MemoryObjectStore):
    """The object store's twin, which can be looked into."""

    def has(self, key: str) -> bool:
        return key in self._objects


class SeenBus(MemoryEventBus):
    """The bus's twin, which remembers each wake-up, so that an old one can be delivered again."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[ConversionCreated] = []
        self._ids: set[str] = set()

    async def publish(self, event: ConversionCreated) -> None:
        await super().publish(event)
        self.sent.append(event)
        self._ids.add(event.message_id)

    def has_sent(self, message_id: str) -> bool:
        return message_id in self._ids

    def repeat(self, event: ConversionCreated) -> None:
        """Deliver it once more, as a broker may."""
        self.give_back(event)

    def lose_one(self) -> None:
        """Drop the first wake-up there is."""
        self.pop([(family, lane) for family, lane in self._queues])
