"""A whole installation in fake time: servers, two file services, two housekeepers, three workers, users, the model."""

import asyncio
import random
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import patch

from converto_core.catalogue import Worker as WorkerRecord
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import ObjectStoreUnavailable
from converto_core.object_keys import source_key
from converto_infra.memory.stores import MemoryStores, MemoryUploadEvents
from tests.unit.model.checks.facts import Facts
from tests.unit.model.checks.reference_model import ReferenceModel
from tests.unit.model.checks.servers import CheckedConversions, ObservedFiles, ObservedObjects, RecordingBus
from tests.unit.model.links import ACTOR, Fault
from tests.unit.model.processes import Api, Housekeeper, Process, Servers
from tests.unit.model.requests import OWNER, SOURCE, Creation, CreationByForm, CreationForFile
from tests.unit.model.settings import settings
from tests.unit.model.stepped_loop import NumberedIds, SteppedLoop
from tests.unit.model.worker import OFFER, Engine, Worker

MEMORY = Path("/dev/shm")  # a disk in memory, where there is one: making a folder takes a millisecond on others
START_MS = 1_800_000_000_000  # any time will do; a fixed one makes each run the same
LONG_S = 4 * 3600.0  # longer than any clock is wrong and than any message is delayed
RECOVERY_ROUNDS, RECOVERY_ROUND_S = 40, 5.0
UPLOAD_ROUNDS = 20  # rounds within which an upload that has arrived is found


class Cluster:
    """One installation in fake time. Killed processes are restarted at once, as a supervisor does."""

    def __init__(self, *, reaper_lease_s: float | None = None, seed: int | None = None) -> None:
        """`reaper_lease_s` gives the housekeepers another lease than the workers have.

        With a `seed`, calls overtake each other by chance; the same seed gives the same run.
        """
        random.seed(seed or 0)  # of all jitter in the production code
        self._reaper_lease_s = reaper_lease_s or settings().lease_s
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self._open = ExitStack()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)))
        self._open.enter_context(patch("uuid_utils.uuid7", NumberedIds()))
        # The file service reads the system clock, which must be as wrong as the clock of its process.
        self._open.enter_context(patch("time.time_ns", lambda: self._system_time_ms() * 1_000_000))
        self.stores, self.bus = MemoryStores(), RecordingBus()
        self.objects = ObservedObjects(self._true_ms)
        self.upload_events = MemoryUploadEvents(hidden_s=10, wait_s=10, max_deliveries=1000, monotonic=self.loop.time)
        self.facts = Facts()
        self.model = ReferenceModel(
            settings(),
            self.facts,
            now_s=self.loop.time,
            start_ms=START_MS,
            body_of=self.objects.body_of,
            was_sent=self.bus.has_sent,
            history_of=self.stores.history.written,
        )
        self.objects.on_delete = self.model.object_deleted
        self.stores.conversions = CheckedConversions(self.stores, self.stores.history, self.model)
        self.stores.files = ObservedFiles(self.stores, self.facts)
        self.servers = Servers(
            loop=self.loop,
            stores=self.stores,
            objects=self.objects,
            bus=self.bus,
            upload_events=self.upload_events,
            facts=self.facts,
            settings=settings(),
            start_ms=START_MS,
            folder=folder,
            is_shuffled=seed is not None,
        )
        self._started: Counter[str] = Counter()
        self._checked: tuple[int, int] = (-1, -1)
        self._offer()
        self.apis = [self._api() for _ in range(2)]
        self.housekeepers = [self._housekeeper() for _ in range(2)]
        self.workers = [self._worker() for _ in range(3)]
        self.settle()

    @property
    def api(self) -> Api:
        """The file service that serves a request unless a test says otherwise."""
        return self.apis[0]

    @property
    def processes(self) -> list[Process]:
        return [*self.apis, *self.housekeepers, *self.workers]

    @property
    def records(self) -> list[Conversion]:
        return [account.record for account in self.model.accounts.values()]

    @property
    def engines(self) -> list[Engine]:
        return [engine for worker in self.workers for engine in worker.engines]

    # Users

    def create(self, body: bytes = SOURCE, *, api: Api | None = None) -> Creation:
        return self._send(Creation(len(self.facts.creations), body), api)

    def create_by_form(self, body: bytes = SOURCE, *, api: Api | None = None) -> Creation:
        return self._send(CreationByForm(len(self.facts.creations), body, self.servers.folder), api)

    def create_for_file(self, file_id: str, *, is_fresh: bool = False, api: Api | None = None) -> Creation:
        return self._send(CreationForFile(len(self.facts.creations), file_id, is_fresh=is_fresh), api)

    def create_again(self, creation: Creation | None = None, *, api: Api | None = None) -> None:
        """The client repeats a request, by default its last one, as after a lost answer."""
        (api or self.api).create(creation or self.facts.creations[-1])

    def submit(self, body: bytes = SOURCE, *, api: Api | None = None) -> None:
        """The usual sequence: create, upload, confirm."""
        creation = self.create(body, api=api)
        self.settle()
        for record in self.made_by(creation):
            if record.status is Status.AWAITING_UPLOAD:
                self.upload(record, body)
                self.confirm(record, api=api)

    def made_by(self, creation: Creation) -> list[Conversion]:
        """What there is of this request: one record or none."""
        return [record for record in self.records if record.id in creation.ids]

    def confirm(self, record: Conversion, *, api: Api | None = None) -> None:
        api = api or self.api
        api.ask(api.wiring.starter.confirm_upload(OWNER, record.file_id))

    def cancel(self, record: Conversion, *, api: Api | None = None) -> None:
        self.facts.cancels.add(record.id)
        api = api or self.api
        api.ask(api.wiring.records.cancel(OWNER, record.id))

    def retry(self, record: Conversion, *, api: Api | None = None) -> None:
        self.facts.retries[record.id] += 1
        api = api or self.api
        api.ask(api.wiring.submission.retry(OWNER, record.id))

    def delete(self, record: Conversion, *, api: Api | None = None) -> None:
        self.facts.removals.add(record.id)
        api = api or self.api
        api.ask(api.wiring.records.delete(OWNER, record.id))

    def delete_file(self, file_id: str, *, api: Api | None = None) -> None:
        self.facts.file_removals.add(file_id)
        (api or self.api).ask(self._delete_file(file_id, api or self.api))

    async def _delete_file(self, file_id: str, api: Api) -> None:
        waiting = self.model.waiting_for(file_id)
        await api.wiring.records.delete_file(OWNER, file_id)
        self.model.file_deleted(file_id, waiting)

    def upload(self, record: Conversion, body: bytes) -> None:
        """The client's PUT, which bypasses our processes; it fails while the object store is down."""
        self.facts.bodies[record.file_id].add(body)
        put = self.objects.put(source_key(OWNER, record.file_id, 1), body, content_type="text/plain")
        with suppress(ObjectStoreUnavailable):
            self.loop.run_until_complete(put)

    def report(self, record: Conversion) -> None:
        """The object store reports the upload: in time, late, or once more."""
        self.upload_events.send(source_key(OWNER, record.file_id, 1))

    # Time and processes

    def settle(self) -> None:
        self.loop.settle()
        self.at_rest()

    def let_pass(self, seconds: float) -> None:
        self.loop.advance(seconds, self.at_rest)

    def kill(self, process: Process) -> None:
        """kill -9, and a new process in its place."""
        process.kill()
        if isinstance(process, Api):
            self.apis[self.apis.index(process)] = self._api()
        elif isinstance(process, Housekeeper):
            self.housekeepers[self.housekeepers.index(process)] = self._housekeeper()
        elif isinstance(process, Worker):
            self._replace(process)

    def set_wall_clock(self, process: Process, wrong_ms: int) -> None:
        self.facts.clock_was_wrong = self.facts.clock_was_wrong or wrong_ms != 0
        process.clock.wrong_ms = wrong_ms

    def sweep(self) -> None:
        """One housekeeper runs all its sweeps now."""
        self.housekeepers[0].nudge()
        self.settle()

    def at_rest(self) -> None:
        """Check what must hold whenever all processes wait; `ReferenceModel` checks each change."""
        changes = (self.objects.changes, self.model.seen.total())
        if changes != self._checked:
            self._checked = changes
            self.model.at_rest()
        for worker in self.workers:
            worker.at_rest()
        running = Counter(
            engine.claimed.id for worker in self.workers if not worker.is_frozen for engine in worker.engines
        )
        twice = [conversion_id for conversion_id, times in running.items() if times > 1]
        assert not twice, f"two engines run on {twice} at {self.loop.time()}"
        self.check()

    def check(self) -> None:
        """Raise what the model has found so far."""
        wrong = self.model.violations + self.servers.violations
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
            worker.disk.is_full = False
            worker.succeed_always()
        self.settle()

    def run_to_end(self) -> None:
        """Run until every conversion has ended; fails when one is stuck.

        That takes less than the time after which a message is published again unasked, whatever the clocks have shown:
        what was lost has to be noticed. Only the deadline of an upload that never comes is as late as its date.
        """
        for number in range(RECOVERY_ROUNDS):
            if all(record.is_terminal for record in self.records):
                break
            self.let_pass(RECOVERY_ROUND_S)
            for worker in self.workers:
                worker.succeed_always()  # including those started since
            if (
                number in {UPLOAD_ROUNDS, RECOVERY_ROUNDS - 5}
                and self.facts.clock_was_wrong
                and self._only_waits_for_uploads()
            ):
                self.loop.jump(LONG_S)
                self.at_rest()
        self.model.at_the_end()
        self.check()

    def _only_waits_for_uploads(self) -> bool:
        """True when nothing is left but conversions whose user has not sent what was announced."""
        left = [record for record in self.records if not record.is_terminal]
        return all(
            record.status is Status.AWAITING_UPLOAD
            and self.objects.body_of(source_key(OWNER, record.file_id, 1)) != self.facts.wanted.get(record.file_id)
            for record in left
        )

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.loop.settle()
        self.loop.jump(LONG_S)
        self.loop.close()
        asyncio.set_event_loop(None)
        self._open.close()

    def _send(self, creation: Creation, api: Api | None) -> Creation:
        self.facts.creations.append(creation)
        self.create_again(creation, api=api)
        return creation

    def _true_ms(self) -> int:
        return self.servers.now_ms()

    def _system_time_ms(self) -> int:
        actor = ACTOR.get(None)
        return actor.clock.now_ms() if isinstance(actor, Process) else self._true_ms()

    def _offer(self) -> None:
        record = WorkerRecord(
            id="first", host="h", pid=1, started_at=START_MS, seen_at=self.servers.now_ms(), slots=2, sandbox="off",
            offers=(OFFER,),
        )  # fmt: skip
        self.loop.run_until_complete(self.stores.workers.put(record))

    def _api(self) -> Api:
        name, offset_s = self._name("api")
        return Api(self.servers, name, offset_s=offset_s)

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
