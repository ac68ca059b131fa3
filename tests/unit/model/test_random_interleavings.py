"""The whole state machine under random interleavings: the actors that ship, in fake time, against a plain model.

Promises 1 to 3, behaviours C4, C8, I4, I10, M14. Usually it takes the same fifteen hundred steps; with
`HYPOTHESIS_PROFILE=long` it takes others each time, for hours unless it is interrupted.
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
from tests.unit.model.links import Line, Weather
from tests.unit.model.processes import Process, Worker, crash
from tests.unit.model.cluster import OF_ANOTHER_SIZE, OF_ANOTHER_TYPE, SOURCE, World

MOST_CONVERSIONS = 4
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
# The quick one takes under two seconds of one core; races that it may miss are told in `test_races.py`.
QUICK = settings(max_examples=50, stateful_step_count=30, derandomize=True)
LONG = settings(max_examples=20_000, stateful_step_count=60, print_blob=True)
PROFILE = settings(LONG if IS_LONG else QUICK, deadline=None, database=None, suppress_health_check=list(HealthCheck))

ANY = st.integers(0, 11)  # whom it meets: taken modulo the number of those there are
SECONDS = st.sampled_from([0.3, 1.0, 1.7, 3.0, 5.0, 9.0])
BAD = [weather for weather in Weather if weather is not Weather.CLEAR]
BAD_WEATHER, MOSTLY_CLEAR = st.sampled_from(BAD), st.sampled_from([Weather.CLEAR] * 4 + BAD)
BODY = st.sampled_from([SOURCE, SOURCE, SOURCE, OF_ANOTHER_TYPE, OF_ANOTHER_SIZE, None])


class Installation(RuleBasedStateMachine):
    """What may happen, in any order. Invariants are in `World.at_rest` and, for each change, in `Judge`."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize()
    def begin(self) -> None:
        self.world.submit()
        self.world.submit()

    # Users

    @precondition(lambda self: len(self.world.records) < MOST_CONVERSIONS)
    @rule(body=BODY, is_confirmed=st.booleans())
    def submit(self, body: bytes | None, is_confirmed: bool) -> None:
        """A new conversion, with its bytes unless they are late."""
        if body is not None and is_confirmed:
            self.world.submit(body)
            return
        self.world.create()
        self.world.settle()
        if body is not None and (waiting := self.with_status(Status.AWAITING_UPLOAD)):
            self.world.upload(waiting[-1], body)

    @rule()
    def submit_again(self) -> None:
        """The client did not hear the answer."""
        self.world.create_again()

    @precondition(lambda self: self.with_status(Status.AWAITING_UPLOAD))
    @rule(number=ANY)
    def confirm(self, number: int) -> None:
        self.world.confirm(self.one(number, Status.AWAITING_UPLOAD))

    @precondition(lambda self: self.with_status())
    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        self.world.cancel(self.one(number))

    @precondition(lambda self: self.with_status(Status.FAILED, Status.CANCELLED, Status.EXPIRED))
    @rule(number=ANY)
    def retry(self, number: int) -> None:
        self.world.retry(self.one(number, Status.FAILED, Status.CANCELLED, Status.EXPIRED))

    @precondition(lambda self: self.with_status(*TERMINAL))
    @rule(number=ANY)
    def delete(self, number: int) -> None:
        self.world.delete(self.one(number, *TERMINAL))

    # Engines

    @precondition(lambda self: self.world.engines)
    @rule(number=ANY, percent=st.sampled_from([5.0, 40.0, 90.0]))
    def progress(self, number: int, percent: float) -> None:
        self.one_at_work(number).engines[0].progress(percent)

    @precondition(lambda self: self.world.engines)
    @rule(
        number=ANY,
        error=st.sampled_from([None, None, crash, crash, CorruptSource]),
        weather=MOSTLY_CLEAR,
        is_once=st.booleans(),
        is_cancelled=st.sampled_from([False, False, True]),
    )
    def end(
        self,
        number: int,
        *,
        error: Callable[[], Exception] | None,
        weather: Weather,
        is_once: bool,
        is_cancelled: bool,
    ) -> None:
        """An engine ends well or badly, maybe just when its user cancels, or when its last update meets a bad line."""
        worker = self.one_at_work(number)
        engine = worker.engines[0]
        worker.database.turn(weather, is_once=is_once)
        if is_cancelled:
            self.world.cancel(engine.claimed)
            self.world.settle()
        if error is None:
            engine.finish()
        else:
            engine.fail(error())

    # Processes

    @precondition(lambda self: self.world.engines)
    @rule(
        number=ANY,
        trouble=st.sampled_from(["freeze", "freeze", "kill", *BAD]),
        seconds=st.sampled_from([3.0, 7.0, 9.5, 12.0]),
        is_over=st.booleans(),
    )
    def vanish(self, number: int, trouble: str, seconds: float, is_over: bool) -> None:
        """One that works is not heard of for about a lease; then it may be back as if nothing had happened."""
        worker = self.one_at_work(number)
        self.make(worker, trouble)
        self.world.let_pass(seconds)
        if is_over:
            worker.thaw()
            worker.database.turn(Weather.CLEAR)

    @rule(number=ANY, trouble=st.sampled_from(["freeze", "kill", "stop"]))
    def trouble(self, number: int, trouble: str) -> None:
        self.make(self.process(number), trouble)

    @precondition(lambda self: any(process.is_frozen for process in self.world.processes))
    @rule(number=ANY)
    def thaw(self, number: int) -> None:
        frozen = [process for process in self.world.processes if process.is_frozen]
        frozen[number % len(frozen)].thaw()

    @rule(number=ANY, hours=st.sampled_from([-3, 0, 3]))
    def set_wall_clock(self, number: int, hours: int) -> None:
        self.process(number).clock.wrong_ms = hours * 3_600_000

    # Network and servers

    @rule(number=ANY, server=st.integers(0, 2), weather=BAD_WEATHER, is_once=st.booleans())
    def disturb(self, number: int, server: int, weather: Weather, is_once: bool) -> None:
        self.process(number).lines[server].turn(weather, is_once=is_once)

    @rule(number=ANY, weather=BAD_WEATHER, is_once=st.booleans())
    def disturb_updates(self, number: int, weather: Weather, is_once: bool) -> None:
        """It reads what is there, and its update comes late, or ignore_report, or not at all."""
        self.process(number).database.turn(weather, is_once=is_once, is_for_writes=True)

    @precondition(lambda self: self.disturbed())
    @rule(number=ANY)
    def clear(self, number: int) -> None:
        lines = self.disturbed()
        lines[number % len(lines)].turn(Weather.CLEAR)

    @rule(server=st.integers(0, 2), is_away=st.booleans())
    def take_away(self, server: int, is_away: bool) -> None:
        if server == 0:
            self.world.stores.is_away = is_away
        elif server == 1:
            self.world.bus.is_away = is_away
        else:
            self.world.objects.is_away = is_away

    @rule(how=st.sampled_from(["purge", "lose", "repeat", "repeat"]), number=ANY)
    def meddle_with_queues(self, how: str, number: int) -> None:
        bus = self.world.bus
        if how == "purge":
            bus.purge()
        elif how == "lose":
            bus.lose_one()
        elif bus.sent:
            bus.repeat(bus.sent[-1 - number % len(bus.sent)])  # the same again, however old

    # Time

    @rule(seconds=SECONDS)
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)

    @rule(number=ANY, seconds=SECONDS)
    def sweep_and_let_pass(self, number: int, seconds: float) -> None:
        self.world.housekeepers[number % len(self.world.housekeepers)].nudge()
        self.world.let_pass(seconds)

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.world.settle()

    def teardown(self) -> None:
        """Nothing is stuck: when all is well again, everything ends."""
        try:
            self.world.heal()
            self.world.run_fairly()
            for seen in sorted(self.world.judge.seen):
                event(seen)
        finally:
            self.world.close()

    def make(self, process: Process, trouble: str) -> None:
        if trouble == "freeze":
            process.freeze()
        elif trouble == "kill":
            self.world.kill(process)
        elif trouble == "stop" and isinstance(process, Worker):
            process.ask_to_stop()
        elif trouble in BAD:
            process.database.turn(Weather(trouble))

    def with_status(self, *statuses: Status) -> list[Conversion]:
        return [record for record in self.world.records if not statuses or record.status in statuses]

    def one(self, number: int, *statuses: Status) -> Conversion:
        found = self.with_status(*statuses)
        return found[number % len(found)]

    def process(self, number: int) -> Process:
        return self.world.processes[number % len(self.world.processes)]

    def one_at_work(self, number: int) -> Worker:
        busy = [worker for worker in self.world.workers if worker.engines]
        return busy[number % len(busy)]

    def disturbed(self) -> list[Line]:
        lines = [line for process in self.world.processes for line in process.lines]
        return [line for line in lines if line.weather is not Weather.CLEAR]


@pytest.mark.timeout(0 if IS_LONG else 60)
def test_state_machine_when_anything_happens_in_any_order_then_nothing_lost_stuck_or_done_twice() -> None:
    """Two housekeepers, three workers, a file service, users, and a network that loses answers."""
    with structlog.testing.capture_logs():
        run_state_machine_as_test(Installation, settings=PROFILE)
