"""The transition table, and each change before and after processing, on the memory store."""

import itertools
from typing import Any

import msgspec
import pytest

from converto_core.conversion import transitions
from converto_core.conversion.change import Change
from converto_core.conversion.record import TERMINAL, Conversion, Lane, Status
from converto_core.conversion.transitions import AT_ONCE_MS, TRANSITIONS, transition
from converto_core.errors import ForbiddenTransition
from converto_core.formats import Family
from tests.contract.samples import NOW_MS, OUTPUT, PLAN, a_conversion, a_pending_conversion, a_running_conversion
from tests.unit.core.applied import after, applied

A, PE, PR = Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING
CO, FA, CA, EX = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED

# Written by hand, so that a mistake in `TRANSITIONS` is found.
ALLOWED = {
    (A, PE), (A, CO), (A, FA), (A, CA), (A, EX),
    (PE, PE), (PE, PR), (PE, CA),
    (PR, PR), (PR, PE), (PR, CO), (PR, FA), (PR, CA),
    (CO, EX), (CO, CO), (CO, PE),
    (FA, PE), (CA, PE), (EX, PE),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
def test_transitions_are_exactly_those_of_the_table(before: Status, after: Status) -> None:
    """All 49 pairs."""
    if (before, after) in ALLOWED:
        assert transition("x", {before}, after).to is after
    else:
        with pytest.raises(ForbiddenTransition):
            transition("x", {before}, after)


def test_transition_is_refused_if_one_source_status_is_forbidden() -> None:
    with pytest.raises(ForbiddenTransition):
        transition("x", {Status.PENDING, Status.COMPLETED}, Status.PROCESSING)


def test_terminal_statuses_lead_only_to_pending_or_expired() -> None:
    assert {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED} == TERMINAL
    for status in TERMINAL:
        assert TRANSITIONS[status] <= {Status.PENDING, Status.EXPIRED, Status.COMPLETED}


async def test_confirm_makes_pending_and_due_at_once() -> None:
    start = a_conversion()

    done = await after(
        start, transitions.confirm(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS + 5)
    )

    assert (done.status, done.publish_due, done.source_format) == (Status.PENDING, NOW_MS + 5, "pptx")
    assert (done.plan, done.family, done.updated_at) == (PLAN, Family.OFFICE, NOW_MS + 5)


async def test_repeated_confirm_changes_nothing() -> None:
    start = a_pending_conversion()

    change = transitions.confirm(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)

    assert await applied(start, change) is None


async def test_refuse_fails_with_code_and_message() -> None:
    """I4, I13: a failure has a stable code and a text for users."""
    start = a_conversion()

    done = await after(
        start,
        transitions.refuse(start, code="source_type_mismatch", message="Not a deck", now_ms=NOW_MS, source_format=None),
    )

    assert (done.status, done.error_code, done.error_message) == (Status.FAILED, "source_type_mismatch", "Not a deck")
    assert (done.completed_at, len(done.errors)) == (NOW_MS, 1)


async def test_expire_upload_ends_an_abandoned_upload() -> None:
    done = await after(start := a_conversion(), transitions.expire_upload(start, now_ms=NOW_MS))

    assert (done.status, done.error_code) == (Status.EXPIRED, "upload_abandoned")


async def test_published_is_due_later_and_counted() -> None:
    done = await after(start := a_pending_conversion(), transitions.published(start, next_due_ms=NOW_MS + 60_000))

    assert (done.status, done.publish_due, done.published) == (Status.PENDING, NOW_MS + 60_000, 1)


@pytest.mark.parametrize("fields", [{"publish_due": NOW_MS - 1}, {"publish_due": AT_ONCE_MS}, {"token": 2}])
async def test_published_after_another_change_changes_nothing(fields: dict[str, Any]) -> None:
    """What several attempts leave is due at once by the same number: only the token tells them apart."""
    start = a_pending_conversion(token=3)
    outdated = msgspec.structs.replace(start, **fields)

    assert await applied(start, transitions.published(outdated, next_due_ms=NOW_MS + 1)) is None


@pytest.mark.parametrize(("lane", "expected"), [(Lane.BULK, Lane.HIGH), (Lane.QUARANTINE, Lane.QUARANTINE)])
async def test_end_wait_makes_due_in_the_high_lane(lane: Lane, expected: Lane) -> None:
    start = a_pending_conversion(waits_for="k", publish_due=NOW_MS + 60_000, lane=lane)

    done = await after(start, transitions.end_wait(start, wait_ms=9, now_ms=NOW_MS))

    assert (done.status, done.waits_for, done.lane) == (Status.PENDING, "k", expected)
    assert (done.publish_due, done.wait_ms) == (AT_ONCE_MS, 9)


@pytest.mark.parametrize("fields", [{"token": 5}, {"waits_for": "other"}, {"status": Status.CANCELLED}])
async def test_end_wait_is_refused_after_another_change(fields: dict[str, Any]) -> None:
    start = a_pending_conversion(waits_for="k")

    change = transitions.end_wait(start, wait_ms=9, now_ms=NOW_MS)

    assert await applied(msgspec.structs.replace(start, **fields), change) is None


async def test_complete_from_cache_needs_no_claim() -> None:
    """I8: the second request completes at once."""
    start = a_conversion()
    made = a_running_conversion(
        status=Status.COMPLETED, cache_key="k", source_sha256="a", notes=("n",), engine_versions={"lo": "7"}
    )

    change = transitions.complete_from_cache(
        start, source_format="pptx", plan=PLAN, family=Family.OFFICE, outputs=(OUTPUT,), made=made, now_ms=NOW_MS + 1
    )
    done = await after(start, change)

    assert (done.status, done.token, done.attempt, done.percent) == (Status.COMPLETED, 0, 0, 100.0)
    assert (done.outputs, done.notes, done.engine_versions) == ((OUTPUT,), ("n",), {"lo": "7"})
    assert (done.cached_from, done.cache_key, done.source_sha256) == (made.id, "k", "a")
    assert (done.plan, done.source_format, done.completed_at, done.publish_due) == (PLAN, "pptx", NOW_MS + 1, None)
    assert await applied(msgspec.structs.replace(start, status=Status.PENDING), change) is None


async def test_only_the_owner_cancels_a_waiting_conversion() -> None:
    start = a_pending_conversion()

    assert await applied(start, transitions.cancel_waiting(start.id, owner="bob", now_ms=NOW_MS)) is None
    done = await after(start, transitions.cancel_waiting(start.id, owner="ann", now_ms=NOW_MS))
    assert (done.status, done.publish_due) == (Status.CANCELLED, None)


async def test_retry_of_an_older_attempt_changes_nothing() -> None:
    """Another request has retried it meanwhile, and that attempt has ended, too."""
    start = a_running_conversion(status=Status.FAILED, token=4)
    change = transitions.retry(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)

    assert await applied(msgspec.structs.replace(start, token=5), change) is None


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.EXPIRED])
async def test_retry_resets_counters_and_keeps_the_token(status: Status) -> None:
    start = a_running_conversion(
        status=status, token=4, attempt=3, lost=2, lane=Lane.QUARANTINE, error_code="x", outputs=(OUTPUT,)
    )

    done = await after(
        start, transitions.retry(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)
    )

    assert (done.status, done.token, done.attempt, done.lost) == (Status.PENDING, 4, 0, 0)
    assert (done.lane, done.error_code, done.publish_due, done.outputs) == (Lane.NORMAL, None, NOW_MS, ())


async def test_expire_result_removes_the_outputs() -> None:
    start = a_running_conversion(status=Status.COMPLETED, outputs=(OUTPUT,))

    done = await after(start, transitions.expire_result(start, now_ms=NOW_MS))

    assert (done.status, done.outputs) == (Status.EXPIRED, ())


# A result that was lost


def a_lost_result(**fields: Any) -> Conversion:
    return a_running_conversion(status=Status.COMPLETED, outputs=(OUTPUT,), token=4, **fields)


def a_retry(conversion: Conversion) -> Change:
    return transitions.retry(conversion, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)


async def test_lost_result_is_marked_once_and_stays_completed() -> None:
    start = a_lost_result()

    lost = await after(start, transitions.lose_result(start, now_ms=NOW_MS + 1))

    assert (lost.status, lost.outputs, lost.result_lost_at) == (Status.COMPLETED, (OUTPUT,), NOW_MS + 1)
    assert await applied(lost, transitions.lose_result(start, now_ms=NOW_MS + 2)) is None


async def test_found_result_has_no_mark() -> None:
    start = a_lost_result(result_lost_at=NOW_MS)

    found = await after(start, transitions.find_result(start, now_ms=NOW_MS + 1))

    assert (found.status, found.outputs, found.result_lost_at) == (Status.COMPLETED, (OUTPUT,), None)


async def test_lost_result_is_retried_under_the_same_token() -> None:
    start = a_lost_result(result_lost_at=NOW_MS)

    again = await after(start, a_retry(start))

    assert (again.status, again.token, again.outputs, again.result_lost_at) == (Status.PENDING, 4, (), None)


async def test_retry_of_a_result_that_was_found_changes_nothing() -> None:
    start = a_lost_result(result_lost_at=NOW_MS)

    assert await applied(msgspec.structs.replace(start, result_lost_at=None), a_retry(start)) is None


def test_completed_conversion_with_its_result_is_never_retried() -> None:
    with pytest.raises(ForbiddenTransition):
        a_retry(a_lost_result())
