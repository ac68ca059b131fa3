"""Servers that are away: the slot waits, goes on, or hands back uncharged (behaviour C8)."""

from converto_core.conversion.record import Lane, Status
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


async def test_returning_database_lets_the_slot_claim(harness: Harness) -> None:
    """Behaviour C8: the worker reconnects without a restart."""
    record = await harness.request()
    harness.stores.is_away = True
    await harness.start_slot()
    harness.clock.advance(30)
    harness.stores.is_away = False
    await harness.advance_to(Status.COMPLETED)

    assert (await harness.get(record)).status is Status.COMPLETED


async def test_job_waits_for_the_object_store(harness: Harness) -> None:
    gate, record, _ = await harness.start_held()
    harness.objects.is_away = True
    gate.open.set()
    await until(lambda: bool(harness.converter.jobs[0].folder.joinpath("made.pdf").exists()))
    harness.clock.advance(3)
    harness.objects.is_away = False
    await harness.advance_to(Status.COMPLETED)
    done = await harness.get(record)

    assert done.status is Status.COMPLETED
    assert done.attempt == 1


async def test_absent_object_store_hands_back_uncharged(harness: Harness) -> None:
    harness.settings = harness.settings.model_copy(update={"conversion_timeout_s": 60})
    record = await harness.request()
    harness.objects.is_away = True
    await harness.start_slot()
    await harness.advance_to(Status.PENDING, step_s=5)
    back = await harness.get(record)

    assert (back.status, back.attempt, back.lost, back.lane) == (Status.PENDING, 0, 0, Lane.HIGH)


async def test_broker_outage_leaves_running_work_alone(harness: Harness) -> None:
    gate, record, _ = await harness.start_held()
    harness.bus.is_away = True
    gate.open.set()
    await harness.wait_for(record, Status.COMPLETED)
    harness.bus.is_away = False
    following = await harness.request()

    await harness.wait_for(following, Status.COMPLETED)
