"""How long a conversion waits after its worker has died, in fake time, with the shipped housekeeping and its pauses.

Promise 3: within lease + 3 s on a quiet machine; half of the 3 s are left for real servers. Workers and servers are
those of the random interleavings; the settings are the defaults.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Lane, Status, Step
from converto_core.conversion.transitions import request_cancel
from converto_core.files.record import FileStatus
from converto_core.ids import now_ms
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.settings import Settings
from file_service.housekeeping.schedule import repeat_all
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.records import a_conversion, a_file
from tests.unit.model.checks.facts import Facts
from tests.unit.model.checks.reference_model import HOUSEKEEPER
from tests.unit.model.links import Fault
from tests.unit.model.processes import Process, Servers
from tests.unit.model.stepped_loop import SteppedLoop
from tests.unit.model.worker import OFFER, Engine, Worker

SETTINGS = Settings(work_reserve_bytes=0, max_lost=1000)
SHORT = SETTINGS.model_copy(update={"lease_s": 6.0, "beat_interval_s": 1.5, "sweep_interval_s": 0.5})
WITHIN_S = SETTINGS.lease_s + 1.5
KILLS = 40
SLOW_S = 2.9  # a read that almost or really misses its deadline


class Housekeeping(Process):
    """The housekeeping process as it ships."""

    role = HOUSEKEEPER

    def __init__(self, servers: Servers, name: str, *, offset_s: float) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        sweeps = Sweeps(
            servers.settings,
            self.stores,
            self.objects,
            self.bus,
            monotonic=self.clock.monotonic,
            now_ms=self.clock.now_ms,
        )
        self.spawn(repeat_all(sweeps, sweeps.all, clock=self.clock))


class Installation:
    """Workers with one slot each and any number of housekeeping processes; killed workers are restarted at once."""

    def __init__(self, folder: Path, *, housekeepers: int = 1, workers: int = 2, settings: Settings = SETTINGS) -> None:
        """`folder` is the disk of the workers."""
        self.loop, self.stores, self.bus = SteppedLoop(), MemoryStores(), MemoryEventBus()
        self.objects = MemoryObjectStore()
        events = MemoryUploadEvents(hidden_s=10, wait_s=10, max_deliveries=9, monotonic=self.loop.time)
        self.servers = Servers(
            loop=self.loop,
            stores=self.stores,
            objects=self.objects,
            bus=self.bus,
            upload_events=events,
            facts=Facts(),
            settings=settings,
            start_ms=now_ms(),
            folder=folder,
            is_shuffled=False,
        )
        self.housekeepers = [
            Housekeeping(self.servers, f"h{number}", offset_s=500.0 * number) for number in range(housekeepers)
        ]
        self._started = self._submitted = 0
        self.workers = [self._worker() for _ in range(workers)]

    @property
    def engines(self) -> list[Engine]:
        return [engine for worker in self.workers for engine in worker.engines]

    def submit(self) -> Conversion:
        """A new conversion that some worker runs."""
        now = self.housekeepers[0].clock.now_ms()
        self._submitted += 1
        body = b"source %d" % self._submitted  # each another, because the same content is converted only once
        file = a_file(FileStatus.UPLOADED, now_ms=now, size_bytes=len(body))
        plan = (Step(OFFER.converter, "txt", "pdf"),)
        record = a_conversion(Status.PENDING, now_ms=now, publish_due=now, file_id=file.id, plan=plan)
        self.loop.run_until_complete(self.objects.put(file.key, body, content_type="text/plain"))
        self.loop.run_until_complete(self.stores.files.insert(file))
        self.loop.run_until_complete(self.stores.conversions.insert(record))
        self.wait_for_run(record)
        return record

    def runs(self, record: Conversion) -> bool:
        return any(engine.claimed.id == record.id for engine in self.engines)

    def wait_for_run(self, record: Conversion) -> float:
        """Return the seconds until some worker runs the conversion."""
        return self.wait_until(lambda: self.runs(record))

    def kill_worker_of(self, record: Conversion) -> None:
        """kill -9, and a new worker in its place."""
        (worker,) = (one for one in self.workers for engine in one.engines if engine.claimed.id == record.id)
        worker.kill()
        self.workers[self.workers.index(worker)] = self._worker()

    def set_fault_of_workers(self, fault: Fault) -> None:
        """A fault between every worker and the database."""
        for worker in self.workers:
            worker.database.set_fault(fault)

    def let_pass(self, seconds: float) -> None:
        self.loop.advance(seconds, self.at_rest)

    def wait_until(self, condition: Callable[[], bool], *, within_s: float = 120.0) -> float:
        """Return the seconds until the condition holds, to a twentieth of a second."""
        began = self.loop.time()
        while not condition():
            assert self.loop.time() - began < within_s, "it takes too long"
            self.let_pass(0.05)
        return self.loop.time() - began

    def apply(self, change: Change) -> None:
        """A change that the file service makes."""
        assert self.loop.run_until_complete(self.stores.conversions.apply(change)) is not None

    def reload(self, record: Conversion) -> Conversion:
        found = self.loop.run_until_complete(self.stores.conversions.get(record.id))
        assert found is not None
        return found

    def at_rest(self) -> None:
        """No conversion ever runs twice at a time."""
        running = Counter(engine.claimed.id for engine in self.engines)
        assert all(times == 1 for times in running.values()), running
        assert not self.servers.violations

    def close(self) -> None:
        for process in (*self.housekeepers, *self.workers):
            process.kill()
        self.loop.settle()
        self.loop.jump(3600.0)
        self.loop.close()

    def _worker(self) -> Worker:
        self._started += 1
        name, offset_s = f"w{self._started}", 700.0 * self._started
        return Worker(self.servers, name, offset_s=offset_s, on_end=lambda _: None, slots=1)


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    built: list[Installation] = []

    def one(**parts: Any) -> Installation:
        built.append(Installation(tmp_path, **parts))
        return built[-1]

    with structlog.testing.capture_logs():
        yield one
        for installation in built:
            installation.close()


@pytest.mark.parametrize("housekeepers", [1, 3])
def test_dead_workers_conversion_runs_again_soon_after_the_lease(
    install: Callable[..., Installation], housekeepers: int
) -> None:
    """Killed at any moment between two beats and two sweeps; measured from the kill."""
    here, chance, taken_s = install(housekeepers=housekeepers), random.Random(housekeepers), list[float]()
    for _ in range(KILLS):
        record = here.submit()
        here.let_pass(chance.uniform(0, 12))
        here.kill_worker_of(record)
        taken_s.append(here.wait_for_run(record))
        assert here.reload(record).lost == 1
        here.engines[0].finish()
        here.loop.settle()

    assert max(taken_s) <= WITHIN_S
    assert min(taken_s) >= SETTINGS.lease_s - SETTINGS.beat_interval_s - SETTINGS.sweep_interval_s


def test_later_losses_take_no_longer(install: Callable[..., Installation]) -> None:
    """The quarantine lane and its exclusive run are as quick as the high lane."""
    here = install()
    record = here.submit()
    taken_s, lanes = list[float](), list[Lane]()
    for _ in range(3):
        here.kill_worker_of(record)
        taken_s.append(here.wait_for_run(record))
        lanes.append(here.reload(record).lane)

    assert lanes == [Lane.HIGH, Lane.QUARANTINE, Lane.QUARANTINE]
    assert max(taken_s) <= WITHIN_S


def test_cancelled_conversion_of_a_dead_worker_ends_in_time(install: Callable[..., Installation]) -> None:
    here = install()
    record = here.submit()
    here.kill_worker_of(record)
    here.apply(request_cancel(record.id, owner=record.owner, now_ms=0))

    assert here.wait_until(lambda: here.reload(record).status is Status.CANCELLED) <= WITHIN_S


@pytest.mark.parametrize("slow_at_s", range(0, 21, 2))
def test_one_slow_read_hardly_delays_the_reaper(install: Callable[..., Installation], slow_at_s: int) -> None:
    """A read misses its deadline, at any moment of the lease."""
    here = install()
    record = here.submit()
    here.kill_worker_of(record)
    here.let_pass(slow_at_s)
    here.housekeepers[0].database.set_fault(Fault.HELD)
    here.let_pass(SLOW_S)
    here.housekeepers[0].database.set_fault(Fault.NONE)

    assert slow_at_s + SLOW_S + here.wait_for_run(record) <= WITHIN_S + SLOW_S


# Outages of the database: nobody can write a beat, so nobody is counted as lost; who was dead before is found soon.


@pytest.mark.parametrize("settings", [SETTINGS, SHORT], ids=["default", "short"])
@pytest.mark.parametrize("away_s", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 19, 21, 25, 40, 90])
def test_outage_of_the_database_loses_no_live_worker(
    install: Callable[..., Installation], away_s: int, settings: Settings
) -> None:
    """Its workers write again later than the reaper reads, because their breakers are still open."""
    here, chance = install(housekeepers=2, workers=4, settings=settings), random.Random(away_s)
    records = [here.submit() for _ in range(4)]
    for _ in range(5):
        here.let_pass(chance.uniform(5, 15))
        here.stores.is_away = True
        here.let_pass(away_s)
        here.set_fault_of_workers(Fault.UNREACHABLE)
        here.stores.is_away = False
        here.let_pass(settings.breaker_reset_s)
        here.set_fault_of_workers(Fault.NONE)
        here.wait_until(lambda: all(map(here.runs, records)))

    assert [here.reload(record).lost for record in records] == [0, 0, 0, 0]


@pytest.mark.parametrize("away_s", [5, 12, 30, 90])
@pytest.mark.parametrize("dead_s", [0, 4, 9, 14, 19])
def test_worker_that_died_before_an_outage_is_found_after_it(
    install: Callable[..., Installation], away_s: int, dead_s: int
) -> None:
    """The silence that was seen before the outage counts."""
    here = install()
    record = here.submit()
    here.kill_worker_of(record)
    here.let_pass(dead_s)
    here.stores.is_away = True
    here.let_pass(away_s)
    here.stores.is_away = False

    assert dead_s + here.wait_for_run(record) <= WITHIN_S + 2 * SETTINGS.sweep_interval_s


def test_repeated_outages_do_not_keep_the_reaper_away(install: Callable[..., Installation]) -> None:
    here = install()
    record = here.submit()
    here.kill_worker_of(record)
    for _ in range(20):
        here.stores.is_away = True
        here.let_pass(9.0)
        here.stores.is_away = False
        here.let_pass(1.5)

    assert here.reload(record).lost == 1
