"""Each change of a claimed conversion, on the memory store."""

from typing import Any

import msgspec
import pytest

from converto_core.conversion import processing, transitions
from converto_core.conversion.record import Lane, Status
from converto_core.conversion.transitions import AT_ONCE_MS
from converto_core.formats import Family
from tests.contract.samples import NOW_MS, OUTPUT, PLAN, a_pending_conversion, a_running_conversion
from tests.unit.core.applied import after, applied


async def test_claim_starts_processing_with_a_new_token() -> None:
    """I4: `processing` and its start time are stored before the work starts."""
    done = await after(
        start := a_pending_conversion(), processing.claim(start.id, token=0, worker="w", now_ms=NOW_MS + 9)
    )

    assert (done.status, done.worker, done.started_at) == (Status.PROCESSING, "w", NOW_MS + 9)
    assert (done.token, done.attempt, done.beat, done.publish_due) == (1, 1, 1, None)


@pytest.mark.parametrize("fields", [{"token": 1}, {"cancel_requested": True}, {"status": Status.CANCELLED}])
async def test_stale_or_cancelled_claim_is_refused(fields: dict[str, Any]) -> None:
    start = a_pending_conversion(**fields)

    assert await applied(start, processing.claim(start.id, token=0, worker="w", now_ms=NOW_MS)) is None


@pytest.mark.parametrize(("percent", "expected"), [(-5.0, 20.0), (10.0, 20.0), (30.0, 30.0), (140.0, 100.0)])
async def test_percent_stays_in_range_and_never_decreases(percent: float, expected: float) -> None:
    start = a_running_conversion(percent=20.0, stage="converting")

    done = await after(start, processing.beat(start.id, token=1, now_ms=NOW_MS, percent=percent))

    assert (done.percent, done.beat, done.stage) == (expected, 2, "converting")


async def test_complete_makes_outputs_visible() -> None:
    start = a_running_conversion(cancel_requested=True, error_code="old", error_message="old")

    done = await after(
        start, processing.complete(start, outputs=(OUTPUT,), engine_versions={"lo": "7"}, now_ms=NOW_MS + 1)
    )

    assert (done.status, done.outputs, done.percent) == (Status.COMPLETED, (OUTPUT,), 100.0)
    assert (done.error_code, done.cancel_requested, done.completed_at) == (None, False, NOW_MS + 1)


async def test_complete_with_an_old_token_is_refused() -> None:
    """A worker that was presumed dead publishes nothing."""
    start = a_running_conversion(token=3)
    fenced = msgspec.structs.replace(start, token=2)

    assert (
        await applied(start, processing.complete(fenced, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS)) is None
    )


async def test_fail_lists_every_attempt() -> None:
    """M4: a record lists its errors."""
    start = a_running_conversion(attempt=2)

    done = await after(start, processing.fail(start, code="engine_crashed", message="Crashed", now_ms=NOW_MS))

    assert (done.status, done.error_code, done.errors[-1].attempt) == (Status.FAILED, "engine_crashed", 2)
    assert done.errors[-1].worker == "w1"


async def test_retry_later_waits_in_pending() -> None:
    start = a_running_conversion()

    done = await after(
        start, processing.retry_later(start, code="engine_crashed", message="x", wait_ms=10_000, now_ms=NOW_MS)
    )

    assert (done.status, done.wait_ms, done.attempt) == (Status.PENDING, 10_000, 1)
    assert done.error_code is None


async def test_wrong_worker_clock_delays_no_conversion() -> None:
    """Promise 3: found by the chaos suite with a worker whose clock was an hour ahead."""
    start, ahead_ms = a_running_conversion(), NOW_MS + 3_600_000
    failed = await after(
        start, processing.retry_later(start, code="engine_crashed", message="x", wait_ms=10_000, now_ms=ahead_ms)
    )
    handed_back = await after(start, processing.hand_back(start, now_ms=ahead_ms))

    assert failed.publish_due is not None
    assert failed.publish_due <= NOW_MS
    assert handed_back.publish_due is not None
    assert handed_back.publish_due <= NOW_MS
    assert handed_back.wait_ms is None


async def test_claim_before_the_wait_ends_clears_the_wait() -> None:
    start = a_running_conversion(status=Status.PENDING, publish_due=0, wait_ms=10_000)

    done = await after(start, processing.claim(start.id, token=start.token, worker="w2", now_ms=NOW_MS))

    assert done.wait_ms is None


@pytest.mark.parametrize(("lane", "expected"), [(Lane.BULK, Lane.HIGH), (Lane.QUARANTINE, Lane.QUARANTINE)])
async def test_hand_back_is_not_counted_and_uses_the_high_lane(lane: Lane, expected: Lane) -> None:
    done = await after(start := a_running_conversion(lane=lane), processing.hand_back(start, now_ms=NOW_MS))

    assert (done.status, done.attempt, done.lost, done.lane) == (Status.PENDING, 0, 0, expected)


@pytest.mark.parametrize(("lost", "lane"), [(0, Lane.HIGH), (1, Lane.QUARANTINE), (4, Lane.QUARANTINE)])
async def test_worker_loss_is_counted_and_the_second_is_quarantined(lost: int, lane: Lane) -> None:
    done = await after(start := a_running_conversion(lost=lost), processing.worker_lost(start, now_ms=NOW_MS))

    assert (done.status, done.attempt, done.lost, done.lane) == (Status.PENDING, 0, lost + 1, lane)
    assert (done.publish_due, done.published, done.worker) == (NOW_MS, 0, None)


async def test_beat_since_the_read_keeps_the_lease() -> None:
    start = a_running_conversion(beat=8)
    outdated = msgspec.structs.replace(start, beat=7)

    assert await applied(start, processing.worker_lost(outdated, now_ms=NOW_MS)) is None


@pytest.mark.parametrize("lane", list(Lane))
async def test_waiting_for_the_leader_counts_nothing_and_keeps_the_lane(lane: Lane) -> None:
    """I8: neither attempts nor losses, and the lane stays."""
    start = a_running_conversion(attempt=2, lost=1, lane=lane)

    done = await after(start, processing.wait_for_leader(start, cache_key="k", wait_ms=9, now_ms=NOW_MS))

    assert (done.status, done.waits_for, done.publish_due) == (Status.PENDING, "k", AT_ONCE_MS)
    assert (done.attempt, done.lost, done.lane, done.worker) == (1, 1, lane, None)


async def test_waiter_is_counted_only_while_the_leader_runs() -> None:
    """Whichever of the two writes last sees the other."""
    start = a_running_conversion()
    change = processing.add_waiter(start.id, token=1)

    assert (await after(start, change)).followers == 1
    for fields in ({"status": Status.COMPLETED}, {"token": 2}, {"status": Status.PENDING}):
        assert await applied(msgspec.structs.replace(start, **fields), change) is None


async def test_hopeless_failure_is_marked_until_the_user_retries() -> None:
    start = a_running_conversion(waits_for="k", cached_from="x")

    failed = await after(start, processing.fail(start, code="c", message="m", now_ms=NOW_MS, is_hopeless=True))
    again = await after(
        failed, transitions.retry(failed, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)
    )

    assert (failed.is_hopeless, failed.waits_for) == (True, None)
    assert (again.is_hopeless, again.waits_for, again.cached_from) == (False, None, None)


@pytest.mark.parametrize("ends", [processing.retry_later, processing.complete], ids=["retry later", "complete"])
async def test_conversion_that_ran_waits_for_no_leader(ends: Any) -> None:
    """Otherwise the end of the leader would cut short its pause before the next attempt."""
    start = a_running_conversion(waits_for="k")
    fields: dict[str, Any] = {"code": "c", "message": "m", "wait_ms": 9}
    if ends is processing.complete:
        fields = {"outputs": (OUTPUT,), "engine_versions": {}}

    assert (await after(start, ends(start, now_ms=NOW_MS, **fields))).waits_for is None


async def test_running_conversion_is_flagged_then_cancelled_by_its_worker() -> None:
    start = a_running_conversion()

    flagged = await after(start, transitions.request_cancel(start.id, owner="ann", now_ms=NOW_MS))
    assert (flagged.status, flagged.cancel_requested) == (Status.PROCESSING, True)

    done = await after(flagged, processing.cancel_running(flagged, now_ms=NOW_MS, beat_seen=1))
    assert (done.status, done.cancel_requested, done.worker) == (Status.CANCELLED, False, None)
