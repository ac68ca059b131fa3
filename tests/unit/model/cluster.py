"""A whole installation in fake time: servers, file service, two housekeepers, three workers, users, reference model."""

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
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.settings import Settings
from file_service.http.schemas.conversions import NewConversion
from file_service.http.schemas.files import NewFile
from tests.unit.model.links import Fault
from tests.unit.model.processes import Api, Engine, Housekeeper, Process, Servers, Worker
from tests.unit.model.reference_model import CheckedConversions, ReferenceModel
from tests.unit.model.stepped_loop import SteppedLoop

OWNER = "anna"
SOURCE = b"some words\n" * 8
OF_ANOTHER_TYPE = b"\x89PNG\r\n\x1a\n".ljust(len(SOURCE), b"\0")
OF_ANOTHER_SIZE = SOURCE * 2
OFFER = Offer(
    converter="scripted",
    engine="scripted",
    engine_version="1",
    family=Family.OFFICE,
    sources=("txt",),
    targets=("pdf",),
    options_schema={"type": "object"},
)
LONG_S = 4 * 3600.0  # longer than any clock is wrong and than any message is delayed
RECOVERY_ROUNDS, RECOVERY_ROUND_S = 40, 5.0


@functools.cache
def settings() -> Settings:
    """Short times, so that little fake time covers a lease, and limits that a short run can reach."""
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
        upload_looks_s=(4, 15),
        result_retention_s=30,
        conversion_timeout_s=10,
        work_reserve_bytes=0,
    )


class Cluster:
    """One installation in fake time. Killed processes are restarted at once, as a supervisor does."""

    def __init__(self, *, reaper_lease_s: float | None = None) -> None:
        """`reaper_lease_s` gives the housekeepers another lease than the workers have."""
        start_ms = now_ms()
        self._reaper_lease_s = reaper_lease_s or settings().lease_s
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self.stores, self.objects, self.bus = MemoryStores(), InspectableObjects(), RecordingBus()
        self.upload_events = MemoryUploadEvents(hidden_s=10, wait_s=10, max_deliveries=1000, monotonic=self.loop.time)
        self.model = ReferenceModel(
            settings(), now=self.loop.time, has_object=self.objects.has, was_sent=self.bus.has_sent
        )
        self.stores.conversions = CheckedConversions(self.stores, self.stores.history, self.model)
        self.servers = Servers(
            loop=self.loop,
            stores=self.stores,
            objects=self.objects,
            bus=self.bus,
            upload_events=self.upload_events,
            settings=settings(),
            start_ms=start_ms,
        )
        self._started: Counter[str] = Counter()
        self._offer(start_ms)
        self.api = Api(self.servers, "api", offset_s=50.0)
        self.housekeepers = [self._housekeeper() for _ in range(2)]
        self.workers = [self._worker() for _ in range(3)]
        # The file service reads the system clock, which must be as wrong as the clock of its process.
        self._system_time = patch("time.time_ns", lambda: self.api.clock.now_ms() * 1_000_000)
        self._system_time.start()
        self.settle()

    @property
    def processes(self) -> list[Process]:
        return [self.api, *self.housekeepers, *self.workers]

    @property
    def records(self) -> list[Conversion]:
        return [account.record for account in self.model.accounts.values()]

    @property
    def engines(self) -> list[Engine]:
        return [engine for worker in self.workers for engine in worker.engines]

    def create(self) -> None:
        self._asked = NewIds(conversion_id=new_id(), file_id=new_id())
        self.create_again()

    def create_again(self) -> None:
        """The client repeats its last request, as after a lost answer."""
        new = NewConversion(target_format="pdf", file=NewFile(filename="notes.txt", size_bytes=len(SOURCE)))
        self.api.ask(self.api.wiring.submission.create(OWNER, new, self._asked))

    def submit(self, body: bytes = SOURCE) -> None:
        """The usual sequence: create, upload, confirm."""
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
        self.api.ask(self.api.wiring.records.delete(OWNER, record.id))

    def upload(self, record: Conversion, body: bytes) -> None:
        """The client's PUT, which bypasses our processes; it fails while the object store is down."""
        put = self.objects.put(source_key(OWNER, record.file_id, 1), body, content_type="text/plain")
        with suppress(ObjectStoreUnavailable):
            self.loop.run_until_complete(put)

    def report(self, record: Conversion) -> None:
        """The object store reports the upload: in time, late, or once more."""
        self.upload_events.send(source_key(OWNER, record.file_id, 1))

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
        """Check what must hold whenever all processes wait; `ReferenceModel` checks each change."""
        self.model.at_rest()
        for worker in self.workers:
            worker.at_rest()
        running = Counter(
            engine.claimed.id for worker in self.workers if not worker.is_frozen for engine in worker.engines
        )
        twice = [conversion_id for conversion_id, times in running.items() if times > 1]
        wrong = self.model.violations + self.servers.violations
        assert not twice, f"two engines run on {twice} at {self.loop.time()}"
        assert not wrong, "\n".join(wrong)

    def repair(self) -> None:
        """Remove all faults; from now on every engine succeeds."""
        self.stores.is_away = self.bus.is_away = self.objects.is_away = self.upload_events.is_away = False
        for process in self.processes:
            process.clock.wrong_ms = 0
            process.thaw()
            for link in process.links:
                link.set_fault(Fault.NONE)
        for worker in self.workers:
            worker.succeed_always()
        self.settle()

    def run_to_end(self) -> None:
        """Run until every conversion has ended; fails when one is stuck."""
        for number in range(RECOVERY_ROUNDS):
            if all(record.is_terminal for record in self.records):
                return
            self.let_pass(RECOVERY_ROUND_S)
            for worker in self.workers:
                worker.succeed_always()  # including those started since
            if number == 2:
                self.loop.jump(LONG_S)  # messages that a wrong clock dated hours ahead are due after this
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
        self._started[kind] += 1
        return f"{kind}-{self._started[kind]}", 700.0 * self._started.total()

    def _replace(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers[self.workers.index(worker)] = self._worker()


class InspectableObjects(MemoryObjectStore):
    """The object store in memory, with a look at its keys."""

    def has(self, key: str) -> bool:
        return key in self._objects


class RecordingBus(MemoryEventBus):
    """The bus in memory; it records each message, so that an old one can be delivered again."""

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
        """Deliver the message once more, as a broker may."""
        self.requeue(event)

    def lose_one(self) -> None:
        """Drop the first message in the queues."""
        self.pop([(family, lane) for family, lane in self._queues])
