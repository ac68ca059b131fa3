"""Waiters of a running leader (I8): released, failed alike, cancelled, taken over, found again."""

import asyncio
from typing import Any

from structlog.typing import EventDict

from conversion_worker.single_flight.single_flight import LONGEST_WAIT_MS
from converto_core.conversion.processing import worker_lost
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.conversion.transitions import cancel_waiting, request_cancel, retry
from converto_core.errors import CorruptSource, EngineCrashed
from converto_core.events import conversion_created
from converto_core.formats import Family
from converto_core.object_keys import source_key
from tests.unit.conversion_worker.fakes import FakeConverter, Gate, failing_with, make_upper_case
from tests.unit.conversion_worker.harness import OWNER, Harness
from tests.unit.conversion_worker.single_flight.requests import body_of, ended, outbox, start_leading, start_waiting
from tests.unit.fake_clock import until


async def test_waiter_frees_its_slot_for_other_work(harness: Harness) -> None:
    gate, leader = await start_leading(harness)
    other = FakeConverter(make_upper_case)
    await harness.start_slot(other)
    waiter = await start_waiting(harness, await harness.request(lane=Lane.BULK))
    (unrelated,) = await ended(harness, await harness.request(b"unrelated"))
    gate.open.set()
    led, copied = await ended(harness, leader, waiter)

    assert (waiter.attempt, waiter.lost, waiter.lane) == (0, 0, Lane.BULK)
    assert waiter.stage == "waiting for the same conversion to end"
    assert unrelated.cached_from is None
    assert (led.cached_from, copied.cached_from) == (None, led.id)
    assert (len(harness.converter.jobs), len(other.jobs)) == (1, 1)


async def test_released_waiter_does_not_fetch_its_source(harness: Harness) -> None:
    gate, leader = await start_leading(harness)
    await harness.start_slot()
    waiter = await start_waiting(harness, await harness.request())
    await harness.objects.delete([source_key(OWNER, waiter.file_id, 1)])
    gate.open.set()
    _, copied = await ended(harness, leader, waiter)

    assert (copied.status, await body_of(harness, copied)) == (Status.COMPLETED, b"WORDS\n")


async def test_waiters_of_a_bad_file_fail_without_a_run(harness: Harness) -> None:
    """I8, I13: a bad file is tried once, however many users sent it; a user's retry runs afresh."""
    gate, leader = await start_leading(harness, failing_with(CorruptSource("The deck is damaged")))
    await harness.start_slot()
    waiters = [await start_waiting(harness, await harness.request()) for _ in range(3)]
    gate.open.set()
    done = await ended(harness, leader, *waiters)

    assert {(one.status, one.error_code) for one in done} == {(Status.FAILED, "source_corrupt")}
    assert {one.error_message for one in done} == {"The deck is damaged"}
    assert len(harness.converter.jobs) == 1

    harness.converter.behaviour = make_upper_case
    again = await harness.stores.conversions.apply(
        retry(done[1], source_format="txt", plan=leader.plan, family=Family.OFFICE, now_ms=harness.clock.now_ms())
    )
    assert again is not None
    await harness.bus.publish(conversion_created(again))
    (retried,) = await ended(harness, again)
    assert (retried.status, retried.cached_from) == (Status.COMPLETED, None)


async def test_waiter_runs_after_its_leader_used_up_its_attempts(harness: Harness) -> None:
    harness.settings = harness.settings.model_copy(update={"max_attempts": 1})
    gate, leader = await start_leading(harness, failing_with(EngineCrashed()))
    healthy = FakeConverter(make_upper_case)
    await harness.start_slot(healthy)
    waiter = await start_waiting(harness, await harness.request())
    harness.converter.behaviour = make_upper_case
    gate.open.set()
    failed, copied = await ended(harness, leader, waiter)

    assert failed.status is Status.FAILED
    assert (copied.status, copied.cached_from) == (Status.COMPLETED, None)


async def test_waiter_runs_after_its_leader_is_cancelled(harness: Harness) -> None:
    gate, leader = await start_leading(harness)
    other = FakeConverter(make_upper_case)
    await harness.start_slot(other)
    waiter = await start_waiting(harness, await harness.request())
    await harness.stores.conversions.apply(request_cancel(leader.id, owner=OWNER, now_ms=harness.clock.now_ms()))

    async def cancelled() -> bool:
        harness.clock.advance(1)
        return (await harness.get(leader)).is_terminal

    await until(cancelled)
    gate.open.set()  # whichever slot takes the waiter now can finish it
    (copied,) = await ended(harness, waiter)

    assert (await harness.get(leader)).status is Status.CANCELLED
    assert (copied.status, copied.cached_from) == (Status.COMPLETED, None)


async def test_cancelled_waiter_ends_while_its_leader_goes_on(harness: Harness) -> None:
    gate, leader = await start_leading(harness)
    await harness.start_slot()
    waiter = await start_waiting(harness, await harness.request())
    await harness.stores.conversions.apply(cancel_waiting(waiter.id, owner=OWNER, now_ms=harness.clock.now_ms()))
    gate.open.set()
    led, copied = await ended(harness, leader, waiter)

    assert (led.status, copied.status) == (Status.COMPLETED, Status.CANCELLED)


async def test_waiter_takes_over_from_a_lost_leader(
    harness: Harness,
) -> None:
    """Promises 1 and 3: a dead leader blocks nobody, and its own second attempt runs no engine."""
    gate, leader = await start_leading(harness)
    harness.converter.behaviour = make_upper_case  # for the next conversion of this slot, after it finds itself fenced
    healthy = FakeConverter(make_upper_case)
    held = await harness.get(leader)
    await harness.start_slot(healthy)
    waiter = await start_waiting(harness, await harness.request())
    await harness.stores.conversions.apply(worker_lost(held, now_ms=harness.clock.now_ms()))  # what the reaper does
    harness.clock.advance(LONGEST_WAIT_MS / 1000)
    harness.running_jobs.release(leader.id)
    await outbox(harness).sweep()  # turns the waiter's wait into a date
    harness.clock.advance(LONGEST_WAIT_MS / 1000)
    await outbox(harness).sweep()
    done = await ended(harness, leader, waiter)
    gate.open.set()

    assert {one.status for one in done} == {Status.COMPLETED}
    assert sum(one.cached_from is None for one in done) == 1
    assert len(healthy.jobs) + len(harness.converter.jobs) == 2  # the run that was lost, and one for both


async def test_date_in_the_record_replaces_a_lost_message(harness: Harness, logs: list[EventDict]) -> None:
    gate, leader = await start_leading(harness)
    await harness.start_slot()
    waiter = await start_waiting(harness, await harness.request())
    harness.bus.is_away = True
    gate.open.set()
    await ended(harness, leader)
    await until(lambda: any(entry["event"] == "followers.left_to_the_outbox" for entry in logs))
    harness.bus.is_away = False
    await outbox(harness).sweep()  # turns the wait into a date
    harness.clock.advance(LONGEST_WAIT_MS / 1000)
    await outbox(harness).sweep()
    (copied,) = await ended(harness, waiter)

    assert copied.cached_from == leader.id


async def test_waiter_that_registers_after_its_leader_ended_is_released(
    harness: Harness,
) -> None:
    """The one that writes last sees the other: the leader looks for waiters, the waiter looks at its leader."""
    gate, paused = Gate(), asyncio.Event()
    harness.converter.behaviour = gate
    await harness.start_slot()
    leader = await harness.request()
    await gate.reached.wait()
    apply = harness.stores.conversions.apply

    async def apply_late(change: Any) -> Conversion | None:
        if change.assign.get("waits_for"):
            paused.set()
            await until(leader_is_done)
        return await apply(change)

    async def leader_is_done() -> bool:
        return (await harness.get(leader)).is_terminal and leader.id not in harness.running_jobs.running

    harness.stores.conversions.apply = apply_late  # type: ignore[method-assign]
    await harness.start_slot()
    waiter = await harness.request()
    await paused.wait()
    gate.open.set()
    (copied,) = await ended(harness, waiter)

    assert copied.cached_from == leader.id
