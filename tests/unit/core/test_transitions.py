"""The state machine: the whole table, each change on the memory twin, and random interleavings against a model."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converto_core.conversion import processing, transitions
from converto_core.conversion.change import Change
from converto_core.conversion.record import TERMINAL, Conversion, Lane, Status, readable_name
from converto_core.conversion.transitions import AT_ONCE_MS, TRANSITIONS, transition
from converto_core.errors import ForbiddenTransition
from converto_core.formats import Family
from converto_core.object_keys import output_key
from converto_infra.memory.stores import MemoryStores
from tests.contract.samples import (
    NOW_MS,
    OUTPUT,
    PLAN,
    a_conversion,
    a_pending_conversion,
    a_running_conversion,
)

A, PE, PR = Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING
CO, FA, CA, EX = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED

# The table once more, by hand, so that a slip in the other one is seen.
ALLOWED = {
    (A, PE), (A, CO), (A, FA), (A, CA), (A, EX),
    (PE, PE), (PE, PR), (PE, CA),
    (PR, PR), (PR, PE), (PR, CO), (PR, FA), (PR, CA),
    (CO, EX),
    (FA, PE), (CA, PE), (EX, PE),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
def test_transition_when_asked_for_then_exactly_the_table_allows(before: Status, after: Status) -> None:
    """All 49 pairs."""
    if (before, after) in ALLOWED:
        assert transition("x", {before}, after).to is after
    else:
        with pytest.raises(ForbiddenTransition):
            transition("x", {before}, after)


def test_transition_when_one_of_several_sources_is_forbidden_then_refused() -> None:
    with pytest.raises(ForbiddenTransition):
        transition("x", {Status.PENDING, Status.COMPLETED}, Status.PROCESSING)


def test_terminal_when_compared_with_the_table_then_only_a_user_or_retention_leads_out() -> None:
    assert {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED} == TERMINAL
    for status in TERMINAL:
        assert TRANSITIONS[status] <= {Status.PENDING, Status.EXPIRED}


async def applied(before: Conversion, change: Change) -> Conversion | None:
    """The record after a change on the memory twin."""
    store = MemoryStores().conversions
    await store.insert(before)
    return await store.apply(change)


async def after(before: Conversion, change: Change) -> Conversion:
    done = await applied(before, change)
    assert done is not None
    return done


async def test_confirm_when_the_bytes_are_there_then_pending_and_due_at_once() -> None:
    start = a_conversion()

    done = await after(
        start, transitions.confirm(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS + 5)
    )

    assert (done.status, done.publish_due, done.source_format) == (Status.PENDING, NOW_MS + 5, "pptx")
    assert (done.plan, done.family, done.updated_at) == (PLAN, Family.OFFICE, NOW_MS + 5)


async def test_confirm_when_repeated_then_changes_nothing() -> None:
    start = a_pending_conversion()

    change = transitions.confirm(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)

    assert await applied(start, change) is None


async def test_refuse_when_the_file_is_unfit_then_failed_with_code_and_message() -> None:
    """I4, I13: a failure has a stable code and words for people."""
    start = a_conversion()

    done = await after(
        start,
        transitions.refuse(start, code="source_type_mismatch", message="Not a deck", now_ms=NOW_MS, source_format=None),
    )

    assert (done.status, done.error_code, done.error_message) == (Status.FAILED, "source_type_mismatch", "Not a deck")
    assert (done.completed_at, len(done.errors)) == (NOW_MS, 1)


async def test_expire_upload_when_nothing_came_then_expired() -> None:
    done = await after(start := a_conversion(), transitions.expire_upload(start, now_ms=NOW_MS))

    assert (done.status, done.error_code) == (Status.EXPIRED, "upload_abandoned")


async def test_published_when_confirmed_then_due_later_and_counted() -> None:
    done = await after(start := a_pending_conversion(), transitions.published(start, next_due_ms=NOW_MS + 60_000))

    assert (done.status, done.publish_due, done.published) == (Status.PENDING, NOW_MS + 60_000, 1)


async def test_published_when_someone_else_was_faster_then_nothing_changes() -> None:
    start = a_pending_conversion()
    seen_earlier = msgspec.structs.replace(start, publish_due=NOW_MS - 1)

    assert await applied(start, transitions.published(seen_earlier, next_due_ms=NOW_MS + 1)) is None


async def test_claim_when_pending_then_processing_with_a_new_token() -> None:
    """I4: `processing` and its start time are stored before the work starts."""
    done = await after(
        start := a_pending_conversion(), processing.claim(start.id, token=0, worker="w", now_ms=NOW_MS + 9)
    )

    assert (done.status, done.worker, done.started_at) == (Status.PROCESSING, "w", NOW_MS + 9)
    assert (done.token, done.attempt, done.beat, done.publish_due) == (1, 1, 1, None)


@pytest.mark.parametrize("fields", [{"token": 1}, {"cancel_requested": True}, {"status": Status.CANCELLED}])
async def test_claim_when_stale_or_cancelled_then_refused(fields: dict[str, Any]) -> None:
    start = a_pending_conversion(**fields)

    assert await applied(start, processing.claim(start.id, token=0, worker="w", now_ms=NOW_MS)) is None


@pytest.mark.parametrize(("percent", "expected"), [(-5.0, 20.0), (10.0, 20.0), (30.0, 30.0), (140.0, 100.0)])
async def test_beat_when_it_tells_a_percent_then_kept_in_range_and_never_back(percent: float, expected: float) -> None:
    start = a_running_conversion(percent=20.0, stage="converting")

    done = await after(start, processing.beat(start.id, token=1, now_ms=NOW_MS, percent=percent))

    assert (done.percent, done.beat, done.stage) == (expected, 2, "converting")


async def test_complete_when_the_token_holds_then_outputs_are_visible() -> None:
    start = a_running_conversion(cancel_requested=True, error_code="old", error_message="old")

    done = await after(
        start, processing.complete(start, outputs=(OUTPUT,), engine_versions={"lo": "7"}, now_ms=NOW_MS + 1)
    )

    assert (done.status, done.outputs, done.percent) == (Status.COMPLETED, (OUTPUT,), 100.0)
    assert (done.error_code, done.cancel_requested, done.completed_at) == (None, False, NOW_MS + 1)


async def test_complete_when_fenced_then_refused() -> None:
    """A worker that came back from the dead shows nothing."""
    start = a_running_conversion(token=3)
    zombie = msgspec.structs.replace(start, token=2)

    assert (
        await applied(start, processing.complete(zombie, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS)) is None
    )


async def test_fail_when_given_up_then_every_attempt_is_listed() -> None:
    """M4: a record lists its errors."""
    start = a_running_conversion(attempt=2)

    done = await after(start, processing.fail(start, code="engine_crashed", message="Crashed", now_ms=NOW_MS))

    assert (done.status, done.error_code, done.errors[-1].attempt) == (Status.FAILED, "engine_crashed", 2)
    assert done.errors[-1].worker == "w1"


async def test_try_again_when_the_engine_failed_then_pending_with_a_wait() -> None:
    start = a_running_conversion()

    done = await after(
        start, processing.retry_later(start, code="engine_crashed", message="x", wait_ms=10_000, now_ms=NOW_MS)
    )

    assert (done.status, done.wait_ms, done.attempt) == (Status.PENDING, 10_000, 1)
    assert done.error_code is None


async def test_worker_when_its_clock_is_ahead_then_no_date_of_its_own_delays_a_conversion() -> None:
    """Promise 3: found by the chaos suite with a worker whose clock was an hour ahead."""
    start, ahead_ms = a_running_conversion(), NOW_MS + 3_600_000
    given_up = await after(
        start, processing.retry_later(start, code="engine_crashed", message="x", wait_ms=10_000, now_ms=ahead_ms)
    )
    handed_back = await after(start, processing.hand_back(start, now_ms=ahead_ms))

    assert given_up.publish_due is not None
    assert given_up.publish_due <= NOW_MS
    assert handed_back.publish_due is not None
    assert handed_back.publish_due <= NOW_MS
    assert handed_back.wait_ms is None


async def test_claim_when_it_came_before_the_wait_was_over_then_no_wait_is_left() -> None:
    start = a_running_conversion(status=Status.PENDING, publish_due=0, wait_ms=10_000)

    done = await after(start, processing.claim(start.id, token=start.token, worker="w2", now_ms=NOW_MS))

    assert done.wait_ms is None


@pytest.mark.parametrize(("lane", "expected"), [(Lane.BULK, Lane.HIGH), (Lane.QUARANTINE, Lane.QUARANTINE)])
async def test_hand_back_when_a_worker_stops_then_not_charged_and_soon_again(lane: Lane, expected: Lane) -> None:
    done = await after(start := a_running_conversion(lane=lane), processing.hand_back(start, now_ms=NOW_MS))

    assert (done.status, done.attempt, done.lost, done.lane) == (Status.PENDING, 0, 0, expected)


@pytest.mark.parametrize(("lost", "lane"), [(0, Lane.HIGH), (1, Lane.QUARANTINE), (4, Lane.QUARANTINE)])
async def test_lost_when_a_worker_vanished_then_counted_apart_and_later_alone(lost: int, lane: Lane) -> None:
    done = await after(start := a_running_conversion(lost=lost), processing.worker_lost(start, now_ms=NOW_MS))

    assert (done.status, done.attempt, done.lost, done.lane) == (Status.PENDING, 0, lost + 1, lane)


async def test_lost_when_a_beat_came_meanwhile_then_the_worker_keeps_it() -> None:
    start = a_running_conversion(beat=8)
    seen_earlier = msgspec.structs.replace(start, beat=7)

    assert await applied(start, processing.worker_lost(seen_earlier, now_ms=NOW_MS)) is None


@pytest.mark.parametrize("lane", list(Lane))
async def test_follow_when_another_one_makes_the_same_then_it_waits_and_nothing_is_charged(lane: Lane) -> None:
    """I8: neither attempts nor losses, and the lane stays."""
    start = a_running_conversion(attempt=2, lost=1, lane=lane)

    done = await after(start, processing.wait_for_leader(start, cache_key="k", wait_ms=9, now_ms=NOW_MS))

    assert (done.status, done.waits_for, done.publish_due) == (Status.PENDING, "k", AT_ONCE_MS)
    assert (done.attempt, done.lost, done.lane, done.worker) == (1, 1, lane, None)


async def test_followed_when_it_runs_then_counted_and_when_it_has_ended_then_refused() -> None:
    """Whoever writes last knows of the other one."""
    start = a_running_conversion()
    change = processing.add_waiter(start.id, token=1)

    assert (await after(start, change)).followers == 1
    for fields in ({"status": Status.COMPLETED}, {"token": 2}, {"status": Status.PENDING}):
        assert await applied(msgspec.structs.replace(start, **fields), change) is None


@pytest.mark.parametrize(("lane", "expected"), [(Lane.BULK, Lane.HIGH), (Lane.QUARANTINE, Lane.QUARANTINE)])
async def test_wake_when_the_wait_is_over_then_due_and_in_front(lane: Lane, expected: Lane) -> None:
    start = a_pending_conversion(waits_for="k", publish_due=NOW_MS + 60_000, lane=lane)

    done = await after(start, transitions.end_wait(start, wait_ms=9, now_ms=NOW_MS))

    assert (done.status, done.waits_for, done.lane) == (Status.PENDING, "k", expected)
    assert (done.publish_due, done.wait_ms) == (AT_ONCE_MS, 9)


@pytest.mark.parametrize("fields", [{"token": 5}, {"waits_for": "other"}, {"status": Status.CANCELLED}])
async def test_wake_when_it_does_not_wait_like_that_any_more_then_refused(fields: dict[str, Any]) -> None:
    start = a_pending_conversion(waits_for="k")

    change = transitions.end_wait(start, wait_ms=9, now_ms=NOW_MS)

    assert await applied(msgspec.structs.replace(start, **fields), change) is None


async def test_complete_from_cache_when_the_same_was_made_then_completed_without_a_claim() -> None:
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


async def test_failure_when_hopeless_then_it_says_so_until_the_user_tries_again() -> None:
    start = a_running_conversion(waits_for="k", cached_from="x")

    failed = await after(start, processing.fail(start, code="c", message="m", now_ms=NOW_MS, is_hopeless=True))
    again = await after(
        failed, transitions.retry(failed, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)
    )

    assert (failed.is_hopeless, failed.waits_for) == (True, None)
    assert (again.is_hopeless, again.waits_for, again.cached_from) == (False, None, None)


@pytest.mark.parametrize("ends", [processing.retry_later, processing.complete], ids=["retry later", "complete"])
async def test_follower_when_it_ran_by_itself_then_it_waits_for_nobody(ends: Any) -> None:
    """Otherwise the end of another one would cut short its pause before the next attempt."""
    start = a_running_conversion(waits_for="k")
    fields: dict[str, Any] = {"code": "c", "message": "m", "wait_ms": 9}
    if ends is processing.complete:
        fields = {"outputs": (OUTPUT,), "engine_versions": {}}

    assert (await after(start, ends(start, now_ms=NOW_MS, **fields))).waits_for is None


async def test_cancel_when_waiting_then_at_once_and_only_by_its_owner() -> None:
    start = a_pending_conversion()

    assert await applied(start, transitions.cancel_waiting(start.id, owner="bob", now_ms=NOW_MS)) is None
    done = await after(start, transitions.cancel_waiting(start.id, owner="ann", now_ms=NOW_MS))
    assert (done.status, done.publish_due) == (Status.CANCELLED, None)


async def test_cancel_when_running_then_flagged_first_and_cancelled_by_the_worker() -> None:
    start = a_running_conversion()

    flagged = await after(start, transitions.request_cancel(start.id, owner="ann", now_ms=NOW_MS))
    assert (flagged.status, flagged.cancel_requested) == (Status.PROCESSING, True)

    done = await after(flagged, processing.cancel_running(flagged, now_ms=NOW_MS, beat_seen=1))
    assert (done.status, done.cancel_requested, done.worker) == (Status.CANCELLED, False, None)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.EXPIRED])
async def test_retry_when_ended_badly_then_counters_start_anew_and_the_token_stays(status: Status) -> None:
    start = a_running_conversion(status=status, token=4, attempt=3, lost=2, lane=Lane.QUARANTINE, error_code="x")

    done = await after(
        start, transitions.retry(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS)
    )

    assert (done.status, done.token, done.attempt, done.lost) == (Status.PENDING, 4, 0, 0)
    assert (done.lane, done.error_code, done.publish_due) == (Lane.NORMAL, None, NOW_MS)


async def test_expire_result_when_retention_is_over_then_nothing_can_be_downloaded() -> None:
    start = a_running_conversion(status=Status.COMPLETED, outputs=(OUTPUT,))

    done = await after(start, transitions.expire_result(start, now_ms=NOW_MS))

    assert (done.status, done.outputs) == (Status.EXPIRED, ())


def test_output_key_when_the_token_grows_then_another_place() -> None:
    running = a_running_conversion()
    later = msgspec.structs.replace(running, token=2)

    assert output_key(running, "a.pdf") != output_key(later, "a.pdf")
    assert output_key(running, "a.pdf").startswith("t/ann/out/")


@pytest.mark.parametrize(
    ("filename", "page", "pages", "expected"),
    [
        ("deck.pptx", None, None, "deck.pdf"),
        ("deck.v2.pptx", None, None, "deck.v2.pdf"),
        ("README", None, None, "README.pdf"),
        ("", None, None, "converted.pdf"),
        ("deck.pptx", 7, 120, "deck-007.pdf"),
        ("deck.pptx", 3, None, "deck-3.pdf"),
    ],
)
def test_readable_name_when_made_then_sorts_and_keeps_the_stem(
    filename: str, page: int | None, pages: int | None, expected: str
) -> None:
    assert readable_name(filename, "pdf", page, pages) == expected


Step = tuple[str, int]
ACTS = [
    "claim", "beat", "complete", "fail", "try_again", "hand_back", "lost", "cancel", "retry", "follow", "wake",
]  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTS),
        st.integers(0, 2),
    ),
    min_size=10,
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
async def test_interleaving_when_workers_act_on_what_they_last_saw_then_one_holder_and_one_result(
    steps: list[Step],
) -> None:
    """Three workers, a reaper and a user act in any order on views that may be old."""
    store = MemoryStores().conversions
    start = a_pending_conversion()
    await store.insert(start)
    views = [start, start, start]
    claims, completions = [], 0
    for name, actor in steps:
        before = await store.get(start.id)
        assert before is not None
        done = await store.apply(change_for(name, views[actor], actor, before))
        if done is None:
            continue
        assert (before.status, done.status) in ALLOWED
        assert done.token >= before.token
        if name == "claim":
            claims.append(done.token)
            views[actor] = done
        completions += name == "complete"
        if name in {"complete", "fail", "try_again", "hand_back", "follow", "beat"}:
            assert views[actor].token == before.token, "a fenced worker changed the record"

    assert claims == sorted(set(claims)), "two workers held the same token"
    assert completions <= 1


def change_for(name: str, view: Conversion, actor: int, current: Conversion) -> Change:
    """What an actor does: workers by their old view, claimers, the reaper and the user by the present record."""
    by_view: dict[str, Change] = {
        "beat": processing.beat(view.id, token=view.token, now_ms=NOW_MS, percent=50),
        "complete": processing.complete(view, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS),
        "fail": processing.fail(view, code="x", message="x", now_ms=NOW_MS),
        "try_again": processing.retry_later(view, code="x", message="x", wait_ms=5, now_ms=NOW_MS),
        "hand_back": processing.hand_back(view, now_ms=NOW_MS),
        "follow": processing.wait_for_leader(view, cache_key="k", wait_ms=9, now_ms=NOW_MS),
        "wake": transitions.end_wait(current, wait_ms=9, now_ms=NOW_MS),
        "claim": processing.claim(current.id, token=current.token, worker=f"w{actor}", now_ms=NOW_MS),
        "lost": processing.worker_lost(current, now_ms=NOW_MS),
        "cancel": transitions.cancel_waiting(current.id, owner="ann", now_ms=NOW_MS),
        "retry": transitions.retry(current, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS),
    }
    return by_view[name]
