"""Objects that the store cannot read or write while it answers: charged, told, and nobody waits behind them (C8)."""

from collections.abc import Callable

import pytest

from converto_core.conversion.record import Conversion, Lane, Status
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import advance_until

BROKEN = [("/in/", "source_unreadable"), ("/out/", "result_not_stored")]


def break_objects(harness: Harness, record: Conversion, folder: str) -> None:
    """Break the source, or all outputs, of one conversion."""
    owner_id = record.file_id if folder == "/in/" else record.id
    harness.objects.is_broken = lambda key: folder in key and owner_id in key


def has_ended(harness: Harness, record: Conversion, *statuses: Status) -> Callable[[], bool]:
    return lambda: any(event.id == record.id and event.status in statuses for event in harness.events)


@pytest.mark.parametrize(("folder", "code"), BROKEN)
async def test_unusable_object_charges_the_attempt(harness: Harness, folder: str, code: str) -> None:
    record = await harness.request()
    break_objects(harness, record, folder)
    started_s = harness.clock.monotonic()
    await harness.start_slot()
    await harness.advance_to(Status.PENDING)
    back = await harness.get(record)

    assert (back.status, back.attempt, back.lane) == (Status.PENDING, 1, record.lane)
    assert back.lane is not Lane.HIGH
    assert [error.code for error in back.errors] == [code]
    assert (back.wait_ms or 0) > 0
    assert 30 <= harness.clock.monotonic() - started_s < 60


@pytest.mark.parametrize(("folder", "code"), BROKEN)
async def test_unusable_object_fails_after_the_last_attempt(harness: Harness, folder: str, code: str) -> None:
    record = await harness.request(attempt=harness.settings.max_attempts - 1)
    break_objects(harness, record, folder)
    await harness.start_slot()
    await harness.advance_to(Status.FAILED)
    failed = await harness.get(record)

    assert (failed.error_code, failed.is_hopeless) == (code, False)
    assert "administrator" in failed.error_message


async def test_next_conversion_runs_after_an_unreadable_source(harness: Harness) -> None:
    bad = await harness.request()
    break_objects(harness, bad, "/in/")
    innocent = await harness.request(b"other words\n")
    started_s = harness.clock.monotonic()
    await harness.start_slot()
    await advance_until(harness.clock, has_ended(harness, innocent, Status.COMPLETED))

    assert harness.clock.monotonic() - started_s < 60


async def test_object_that_recovers_in_time_costs_nothing(harness: Harness) -> None:
    record = await harness.request()
    break_objects(harness, record, "/in/")
    started_s = harness.clock.monotonic()
    await harness.start_slot()
    await advance_until(harness.clock, lambda: harness.clock.monotonic() - started_s > 20)
    harness.objects.is_broken = lambda key: False
    await harness.advance_to(Status.COMPLETED)

    assert (await harness.get(record)).attempt == 1


async def test_time_of_an_outage_is_not_blamed_on_the_object(harness: Harness) -> None:
    """The store is away for five minutes and the object fails for a few seconds more."""
    record = await harness.request()
    break_objects(harness, record, "/in/")
    harness.objects.is_away = True
    started_s = harness.clock.monotonic()
    await harness.start_slot()
    await advance_until(harness.clock, lambda: harness.clock.monotonic() - started_s > 300)
    harness.objects.is_away = False
    await advance_until(harness.clock, lambda: harness.clock.monotonic() - started_s > 315)
    harness.objects.is_broken = lambda key: False
    await harness.advance_to(Status.COMPLETED)
    done = await harness.get(record)

    assert (done.attempt, done.errors) == (1, ())


@pytest.mark.parametrize(("folder", "code"), BROKEN)
async def test_deadline_before_the_verdict_charges_too(harness: Harness, folder: str, code: str) -> None:
    """A short time limit, or an engine that has used it up, is no way around the limit of attempts."""
    harness.settings = harness.settings.model_copy(update={"conversion_timeout_s": 10})
    record = await harness.request()
    break_objects(harness, record, folder)
    await harness.start_slot()
    await harness.advance_to(Status.PENDING)
    back = await harness.get(record)

    assert (back.attempt, back.lane, [error.code for error in back.errors]) == (1, record.lane, [code])
