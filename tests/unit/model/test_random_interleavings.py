"""The production code under random interleavings, in fake time, checked against a reference model.

Promises 1 to 3, behaviours C4, C8, I4, I10, M14. By default it takes the same fifteen hundred steps each time; with
`HYPOTHESIS_PROFILE=long` it takes new ones each time, for hours unless interrupted.
"""

import os
from collections.abc import Callable

import pytest
import structlog
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from converto_core.conversion.record import TERMINAL, Conversion, Status
from converto_core.errors import CorruptSource
from tests.unit.model.cluster import OF_ANOTHER_SIZE, OF_ANOTHER_TYPE, SOURCE, Cluster
from tests.unit.model.links import Fault, Link
from tests.unit.model.processes import Process, Worker, crash

MOST_CONVERSIONS = 4
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
# The quick profile takes under two seconds of one core; races that it may miss have their own tests in `test_races.py`.
QUICK = settings(max_examples=50, stateful_step_count=30, derandomize=True)
LONG = settings(max_examples=20_000, stateful_step_count=60, print_blob=True)
PROFILE = settings(LONG if IS_LONG else QUICK, deadline=None, database=None, suppress_health_check=list(HealthCheck))

ANY = st.integers(0, 11)  # which one is affected: taken modulo the number of candidates
SECONDS = st.sampled_from([0.3, 1.0, 1.7, 3.0, 5.0, 9.0])
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
SOME_FAULT, MOSTLY_NONE = st.sampled_from(FAULTS), st.sampled_from([Fault.NONE] * 4 + FAULTS)
BODY = st.sampled_from([SOURCE, SOURCE, SOURCE, OF_ANOTHER_TYPE, OF_ANOTHER_SIZE, None])


class ClusterStateMachine(RuleBasedStateMachine):
    """All that may happen, in any order. `Cluster.at_rest` and, per change, `ReferenceModel` check the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()

    @initialize()
    def begin(self) -> None:
        self.cluster.submit()
        self.cluster.submit()

    # Users

    @precondition(lambda self: len(self.cluster.records) < MOST_CONVERSIONS)
    @rule(body=BODY, is_confirmed=st.booleans())
    def submit(self, body: bytes | None, is_confirmed: bool) -> None:
        """A new conversion, with or without its upload."""
        if body is not None and is_confirmed:
            self.cluster.submit(body)
            return
        self.cluster.create()
        self.cluster.settle()
        if body is not None and (waiting := self.with_status(Status.AWAITING_UPLOAD)):
            self.cluster.upload(waiting[-1], body)

    @rule()
    def submit_again(self) -> None:
        """The client did not get the answer."""
        self.cluster.create_again()

    @precondition(lambda self: self.with_status(Status.AWAITING_UPLOAD))
    @rule(number=ANY)
    def confirm(self, number: int) -> None:
        self.cluster.confirm(self.one(number, Status.AWAITING_UPLOAD))

    @precondition(lambda self: self.with_status())
    @rule(number=ANY)
    def report(self, number: int) -> None:
        """An event of the object store: at once, late, or once more; about bytes that may be gone again."""
        self.cluster.report(self.one(number))

    @precondition(lambda self: self.with_status())
    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        self.cluster.cancel(self.one(number))

    @precondition(lambda self: self.with_status(Status.FAILED, Status.CANCELLED, Status.EXPIRED))
    @rule(number=ANY)
    def retry(self, number: int) -> None:
        self.cluster.retry(self.one(number, Status.FAILED, Status.CANCELLED, Status.EXPIRED))

    @precondition(lambda self: self.with_status(*TERMINAL))
    @rule(number=ANY)
    def delete(self, number: int) -> None:
        self.cluster.delete(self.one(number, *TERMINAL))

    # Engines

    @precondition(lambda self: self.cluster.engines)
    @rule(number=ANY, percent=st.sampled_from([5.0, 40.0, 90.0]))
    def progress(self, number: int, percent: float) -> None:
        self.busy_worker(number).engines[0].progress(percent)

    @precondition(lambda self: self.cluster.engines)
    @rule(
        number=ANY,
        error=st.sampled_from([None, None, crash, crash, CorruptSource]),
        fault=MOSTLY_NONE,
        is_once=st.booleans(),
        is_cancelled=st.sampled_from([False, False, True]),
    )
    def end(
        self,
        number: int,
        *,
        error: Callable[[], Exception] | None,
        fault: Fault,
        is_once: bool,
        is_cancelled: bool,
    ) -> None:
        """An engine succeeds or fails, possibly while its user cancels or while its final update meets a fault."""
        worker = self.busy_worker(number)
        engine = worker.engines[0]
        worker.database.set_fault(fault, is_once=is_once)
        if is_cancelled:
            self.cluster.cancel(engine.claimed)
            self.cluster.settle()
        if error is None:
            engine.finish()
        else:
            engine.fail(error())

    # Processes

    @precondition(lambda self: self.cluster.engines)
    @rule(
        number=ANY,
        trouble=st.sampled_from(["freeze", "freeze", "kill", *FAULTS]),
        seconds=st.sampled_from([3.0, 7.0, 9.5, 12.0]),
        is_over=st.booleans(),
    )
    def vanish(self, number: int, trouble: str, seconds: float, is_over: bool) -> None:
        """A busy worker is unreachable for about one lease; then it may come back as if nothing had happened."""
        worker = self.busy_worker(number)
        self.make(worker, trouble)
        self.cluster.let_pass(seconds)
        if is_over:
            worker.thaw()
            worker.database.set_fault(Fault.NONE)

    @rule(number=ANY, trouble=st.sampled_from(["freeze", "kill", "stop"]))
    def trouble(self, number: int, trouble: str) -> None:
        self.make(self.process(number), trouble)

    @precondition(lambda self: any(process.is_frozen for process in self.cluster.processes))
    @rule(number=ANY)
    def thaw(self, number: int) -> None:
        frozen = [process for process in self.cluster.processes if process.is_frozen]
        frozen[number % len(frozen)].thaw()

    @rule(number=ANY, hours=st.sampled_from([-3, 0, 3]))
    def set_wall_clock(self, number: int, hours: int) -> None:
        self.process(number).clock.wrong_ms = hours * 3_600_000

    # Network and servers

    @rule(number=ANY, server=st.integers(0, 3), fault=SOME_FAULT, is_once=st.booleans())
    def disturb(self, number: int, server: int, fault: Fault, is_once: bool) -> None:
        self.process(number).links[server].set_fault(fault, is_once=is_once)

    @rule(number=ANY, fault=SOME_FAULT, is_once=st.booleans())
    def disturb_updates(self, number: int, fault: Fault, is_once: bool) -> None:
        """Reads work, but an update arrives late, loses its answer, or never arrives."""
        self.process(number).database.set_fault(fault, is_once=is_once, is_for_writes=True)

    @precondition(lambda self: self.disturbed())
    @rule(number=ANY)
    def clear(self, number: int) -> None:
        links = self.disturbed()
        links[number % len(links)].set_fault(Fault.NONE)

    @rule(server=st.sampled_from(["stores", "bus", "objects", "upload_events"]), is_away=st.booleans())
    def take_away(self, server: str, is_away: bool) -> None:
        getattr(self.cluster, server).is_away = is_away

    @rule(how=st.sampled_from(["purge", "lose", "repeat", "repeat"]), number=ANY)
    def disturb_queues(self, how: str, number: int) -> None:
        bus = self.cluster.bus
        if how == "purge":
            bus.purge()
        elif how == "lose":
            bus.lose_one()
        elif bus.sent:
            bus.repeat(bus.sent[-1 - number % len(bus.sent)])  # the same message again, however old

    # Time

    @rule(seconds=SECONDS)
    def let_pass(self, seconds: float) -> None:
        self.cluster.let_pass(seconds)

    @rule(number=ANY, seconds=SECONDS)
    def sweep_and_let_pass(self, number: int, seconds: float) -> None:
        self.cluster.housekeepers[number % len(self.cluster.housekeepers)].nudge()
        self.cluster.let_pass(seconds)

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.cluster.settle()

    def teardown(self) -> None:
        """Nothing is stuck: without faults, every conversion ends."""
        try:
            self.cluster.repair()
            self.cluster.run_to_end()
            for seen in sorted(self.cluster.model.seen):
                event(seen)
        finally:
            self.cluster.close()

    def make(self, process: Process, trouble: str) -> None:
        if trouble == "freeze":
            process.freeze()
        elif trouble == "kill":
            self.cluster.kill(process)
        elif trouble == "stop" and isinstance(process, Worker):
            process.ask_to_stop()
        elif trouble in FAULTS:
            process.database.set_fault(Fault(trouble))

    def with_status(self, *statuses: Status) -> list[Conversion]:
        return [record for record in self.cluster.records if not statuses or record.status in statuses]

    def one(self, number: int, *statuses: Status) -> Conversion:
        found = self.with_status(*statuses)
        return found[number % len(found)]

    def process(self, number: int) -> Process:
        return self.cluster.processes[number % len(self.cluster.processes)]

    def busy_worker(self, number: int) -> Worker:
        busy = [worker for worker in self.cluster.workers if worker.engines]
        return busy[number % len(busy)]

    def disturbed(self) -> list[Link]:
        links = [link for process in self.cluster.processes for link in process.links]
        return [link for link in links if link.fault is not Fault.NONE]


@pytest.mark.timeout(0 if IS_LONG else 60)
def test_nothing_is_lost_stuck_or_done_twice() -> None:
    """Two housekeepers, three workers, a file service, users, and a network that loses answers."""
    with structlog.testing.capture_logs():
        run_state_machine_as_test(ClusterStateMachine, settings=PROFILE)
