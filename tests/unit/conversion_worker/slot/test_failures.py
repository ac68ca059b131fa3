"""How a job that fails ends: at once, after attempts, or cancelled."""

import errno
from typing import Any

import pytest
from structlog.typing import EventDict

from converto_core.conversion.record import Status, Step
from converto_core.conversion.transitions import request_cancel
from converto_core.errors import BadOptions, CorruptSource, EngineCrashed, EngineTimeout, LimitExceeded
from converto_core.events import conversion_created
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.fakes import failing_with, files_in, make_upper_case
from tests.unit.conversion_worker.harness import OWNER, Harness
from tests.unit.fake_clock import advance_until


@pytest.mark.parametrize("error", [CorruptSource("The deck is damaged"), EngineTimeout(), LimitExceeded()])
async def test_permanent_error_fails_at_once(harness: Harness, error: Exception) -> None:
    """Behaviours I4 and I13: a stable code and a message for users; the next file converts."""
    harness.converter.behaviour = failing_with(error)
    record = await harness.request()
    await harness.start_slot()
    failed = await harness.wait_for(record, Status.FAILED)
    harness.converter.behaviour = make_upper_case
    following = await harness.request()

    assert failed.error_code == error.stable_code  # type: ignore[attr-defined]
    assert failed.error_message == str(error)
    assert [entry.attempt for entry in failed.errors] == [1]
    await harness.wait_for(following, Status.COMPLETED)


async def test_wrong_option_fails_as_bad_options(harness: Harness) -> None:
    record = await harness.request(options={"times": "many"})
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.FAILED)).error_code == BadOptions.code


async def test_crashing_engine_gets_three_attempts_with_growing_waits(harness: Harness) -> None:
    """Behaviour I4; the wait is in the record (`wait_ms`), not in a queue."""
    harness.converter.behaviour = failing_with(EngineCrashed())
    waiting = await harness.request()
    await harness.start_slot()
    waits_ms = []
    for _ in range(2):
        waiting = await harness.wait_for(waiting, Status.PENDING)
        waits_ms.append(waiting.wait_ms or 0)
        await harness.bus.publish(conversion_created(waiting))
    failed = await harness.wait_for(waiting, Status.FAILED)

    assert 0 <= waits_ms[0] <= 10_000
    assert 0 <= waits_ms[1] <= 20_000
    assert [entry.code for entry in failed.errors] == ["engine_crashed"] * 3
    assert [entry.attempt for entry in failed.errors] == [1, 2, 3]
    assert failed.attempt == 3


async def test_unexpected_error_is_recorded_and_the_slot_goes_on(
    harness: Harness,
) -> None:
    harness.converter.behaviour = failing_with(RuntimeError("a bug"))
    record = await harness.request()
    await harness.start_slot()
    waiting = await harness.wait_for(record, Status.PENDING)
    harness.converter.behaviour = make_upper_case
    following = await harness.request()

    assert waiting.errors[0].code == "internal_error"
    assert "a bug" not in waiting.errors[0].message
    await harness.wait_for(following, Status.COMPLETED)


async def test_missing_converter_leaves_another_attempt_to_other_workers(harness: Harness) -> None:
    record = await harness.request(plan=(Step("elsewhere", "txt", "pdf"),))
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.PENDING)).errors[0].code == "engine_missing"


async def test_missing_source_fails_with_its_code(harness: Harness) -> None:
    record = await harness.request()
    file = await harness.stores.files.get(record.file_id)
    assert file is not None
    await harness.objects.delete([file.key])
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.FAILED)).error_code == "source_gone"


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"declared_sha256": "0" * 64}, "checksum_mismatch"),
        ({"sha256": "f" * 64}, "checksum_mismatch"),
        ({"size_bytes": 7}, "size_mismatch"),
    ],
)
async def test_bytes_that_differ_from_the_declared_ones_fail(
    harness: Harness, known: dict[str, Any], code: str
) -> None:
    """Behaviour M5: a wrong checksum is refused."""
    record = await harness.request()
    await harness.stores.files.update(record.file_id, version=1, expected={"uploaded"}, assign=known)  # type: ignore[arg-type]
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.FAILED)).error_code == code
    assert harness.converter.jobs == []


async def test_content_of_another_type_fails(harness: Harness) -> None:
    """Behaviour I13: mislabelled files fail clearly."""
    record = await harness.request(b"MZ\x90\x00" + bytes(200))
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.FAILED)).error_code == "source_type_mismatch"


async def test_cancel_request_ends_the_program(harness: Harness) -> None:
    _, record, _ = await harness.start_held()
    await harness.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=1))
    await advance_until(harness.clock, lambda: harness.converter.cancelled == 1)
    cancelled = await harness.wait_for(record, Status.CANCELLED)

    assert cancelled.outputs == ()
    assert not cancelled.cancel_requested
    assert files_in(harness.workspace.folder) == []


async def test_cancel_request_beats_another_attempt(harness: Harness) -> None:
    async def cancelled_meanwhile(job: Job) -> list[Product]:
        await harness.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=1))
        raise EngineCrashed()

    harness.converter.behaviour = cancelled_meanwhile
    record = await harness.request()
    await harness.start_slot()

    await harness.wait_for(record, Status.CANCELLED)


async def test_disk_that_fills_up_causes_another_attempt_without_traceback(
    harness: Harness, logs: list[EventDict]
) -> None:
    """Failure matrix: a full disk is transient, the slot stays healthy."""
    harness.converter.behaviour = failing_with(OSError(errno.ENOSPC, "No space left on device"))
    record = await harness.request()
    await harness.start_slot()
    waiting = await harness.wait_for(record, Status.PENDING)

    assert waiting.errors[-1].code == "insufficient_storage"
    assert waiting.attempt == 1
    assert {"job.broken", "job.failed"} & {entry["event"] for entry in logs} == {"job.failed"}
