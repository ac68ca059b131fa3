"""The contract of `ConversionStore`."""

import asyncio
from typing import Any

import msgspec
import pytest

from converto_core.conversion import processing, transitions
from converto_core.conversion.change import Change
from converto_core.conversion.record import Attempt, Conversion, Lane, Status
from converto_core.conversion.transitions import transition
from converto_core.errors import DuplicateKey
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.ports.stores import ConversionFilter
from tests.contract.samples import (
    NOW_MS,
    OUTPUT,
    PLAN,
    Stores,
    a_conversion,
    a_pending_conversion,
    a_running_conversion,
)


async def test_record_round_trips_unchanged(stores: Stores) -> None:
    """I3: nothing of a record is lost or changed, including nested parts and large numbers."""
    whole = a_running_conversion(
        outputs=(OUTPUT,),
        errors=(Attempt(attempt=1, code="engine_crashed", message="Ups – nochmal", at=NOW_MS, worker="w"),),
        engine_versions={"libreoffice": "7.4.7.2"},
        lane=Lane.HIGH,
        percent=12.5,
        trace="00-1-2-01",
    )

    await stores.conversions.insert(whole)

    assert await stores.conversions.get(whole.id) == whole


async def test_insert_with_a_taken_id_raises_duplicate_key(stores: Stores) -> None:
    first = a_conversion()
    await stores.conversions.insert(first)

    with pytest.raises(DuplicateKey):
        await stores.conversions.insert(a_conversion(id=first.id, owner="bob"))

    assert await stores.conversions.get(first.id) == first


async def test_get_of_unknown_or_foreign_id_is_none(stores: Stores) -> None:
    """C12: another owner's id looks like an unknown one."""
    mine = a_conversion()
    await stores.conversions.insert(mine)

    assert await stores.conversions.get(new_id()) is None
    assert await stores.conversions.get(mine.id, owner="bob") is None
    assert await stores.conversions.get(mine.id, owner="ann") == mine


async def test_only_one_of_fifty_concurrent_claims_succeeds(stores: Stores) -> None:
    """I12: many workers in parallel, one execution."""
    waiting = a_pending_conversion()
    await stores.conversions.insert(waiting)

    results = await asyncio.gather(
        *(
            stores.conversions.apply(processing.claim(waiting.id, token=0, worker=f"w{number}", now_ms=NOW_MS))
            for number in range(50)
        )
    )

    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert (winners[0].token, winners[0].attempt, winners[0].beat) == (1, 1, 1)
    assert await stores.conversions.get(waiting.id) == winners[0]


async def test_change_with_unexpected_status_changes_nothing(stores: Stores) -> None:
    done = a_running_conversion(status=Status.COMPLETED)
    await stores.conversions.insert(done)

    refused = await stores.conversions.apply(processing.beat(done.id, token=1, now_ms=NOW_MS + 1, percent=50))

    assert refused is None
    assert await stores.conversions.get(done.id) == done


async def test_change_with_old_token_changes_nothing(stores: Stores) -> None:
    running = a_running_conversion(token=2)
    await stores.conversions.insert(running)

    fenced = await stores.conversions.apply(processing.beat(running.id, token=1, now_ms=NOW_MS + 1))

    assert fenced is None
    assert await stores.conversions.get(running.id) == running


async def test_change_of_an_unknown_record_creates_nothing(stores: Stores) -> None:
    unknown = new_id()

    assert await stores.conversions.apply(processing.claim(unknown, token=0, worker="w", now_ms=NOW_MS)) is None
    assert await stores.conversions.get(unknown) is None


async def test_none_condition_matches_only_an_unset_field(stores: Stores) -> None:
    unset, assigned = a_pending_conversion(worker=None), a_pending_conversion(worker="w1")
    await stores.conversions.insert(unset)
    await stores.conversions.insert(assigned)

    def only_unset(conversion_id: str) -> Change:
        return transition(conversion_id, {Status.PENDING}, Status.PENDING, where={"worker": None})

    assert await stores.conversions.apply(only_unset(unset.id)) is not None
    assert await stores.conversions.apply(only_unset(assigned.id)) is None


async def test_one_update_assigns_increases_and_raises(stores: Stores) -> None:
    running = a_running_conversion(percent=40.0)
    await stores.conversions.insert(running)
    error = Attempt(attempt=1, code="engine_failed", message="no", at=NOW_MS)

    after = await stores.conversions.apply(
        transition(
            running.id,
            {Status.PROCESSING},
            Status.PENDING,
            assign={"errors": (error,), "plan": PLAN, "family": Family.PDF, "lane": Lane.HIGH, "worker": None},
            increase={"attempt": -1, "lost": 1},
            raise_to={"percent": 55.5},
        )
    )

    assert after is not None
    assert (after.status, after.errors, after.plan) == (Status.PENDING, (error,), PLAN)
    assert (after.family, after.lane, after.worker) == (Family.PDF, Lane.HIGH, None)
    assert (after.attempt, after.lost, after.percent) == (0, 1, 55.5)
    assert await stores.conversions.get(running.id) == after


async def test_percent_never_decreases(stores: Stores) -> None:
    running = a_running_conversion()
    await stores.conversions.insert(running)

    for percent in (10.0, 60.0, 30.0):
        await stores.conversions.apply(processing.beat(running.id, token=1, now_ms=NOW_MS, percent=percent))

    after = await stores.conversions.get(running.id)
    assert after is not None
    assert (after.percent, after.beat) == (60.0, 4)


async def test_find_filters_and_pages_newest_first(stores: Stores) -> None:
    """M3, C2: by client, by several statuses at once, page by page."""
    mine = [a_conversion(client_id="pi", status=Status.FAILED if n % 2 else Status.PENDING) for n in range(7)]
    others = [a_conversion(client_id="mac"), a_conversion(owner="bob", client_id="pi")]
    for one in (*mine, *others):
        await stores.conversions.insert(one)
    wanted: dict[str, Any] = {"owner": "ann", "client_id": "pi", "statuses": (Status.FAILED, Status.PENDING)}

    seen: list[str] = []
    page = await stores.conversions.find(ConversionFilter(**wanted, limit=3))
    while page:
        seen += [one.id for one in page]
        page = await stores.conversions.find(ConversionFilter(**wanted, limit=3, after=page[-1].id))

    assert seen == sorted((one.id for one in mine), reverse=True)


async def test_find_by_file_and_target_format(stores: Stores) -> None:
    """I3, I6: (file, target format) finds the conversions of that pair, the newest first."""
    file_id = new_id()
    pair = [a_conversion(file_id=file_id), a_conversion(file_id=file_id)]
    for one in (*pair, a_conversion(file_id=file_id, target_format="png"), a_conversion()):
        await stores.conversions.insert(one)

    found = await stores.conversions.find(ConversionFilter(file_id=file_id, target_format="pdf"))

    assert [one.id for one in found] == [pair[1].id, pair[0].id]


async def test_due_lists_overdue_pending_conversions_longest_first(stores: Stores) -> None:
    """C4: the outbox reads what it has to publish."""
    late = a_pending_conversion(publish_due=NOW_MS - 10)
    later = a_pending_conversion(publish_due=NOW_MS)
    strangers = (
        a_pending_conversion(publish_due=NOW_MS + 1),
        a_pending_conversion(publish_due=None),
        a_running_conversion(publish_due=NOW_MS - 99),
    )
    for one in (later, late, *strangers):
        await stores.conversions.insert(one)

    assert [one.id for one in await stores.conversions.due(now_ms=NOW_MS, limit=10)] == [late.id, later.id]
    assert [one.id for one in await stores.conversions.due(now_ms=NOW_MS, limit=1)] == [late.id]


async def test_due_after_lists_what_is_dated_later(stores: Stores) -> None:
    """Dates of a clock that was ahead are found, by the number of confirmed messages too."""
    late = [a_pending_conversion(publish_due=NOW_MS + 1, published=number) for number in range(3)]
    strangers = (
        a_pending_conversion(publish_due=NOW_MS),
        a_pending_conversion(publish_due=None),
        a_running_conversion(publish_due=NOW_MS + 99),
    )
    for one in (*late, *strangers):
        await stores.conversions.insert(one)
    of_any = await stores.conversions.due_after(NOW_MS, limit=10)

    assert {one.id for one in of_any} == {one.id for one in late}
    assert len(await stores.conversions.due_after(NOW_MS, limit=2)) == 2
    for number in range(3):
        assert await stores.conversions.due_after(NOW_MS, published=number, limit=10) == [late[number]]


async def test_published_lists_changes_of_a_period(stores: Stores) -> None:
    times = {number: a_pending_conversion(published=1, updated_at=NOW_MS + number) for number in range(4)}
    for one in times.values():
        await stores.conversions.insert(one)

    found = await stores.conversions.published(
        None, None, changed_from_ms=NOW_MS + 1, changed_before_ms=NOW_MS + 3, limit=9
    )

    assert {one.id for one in found} == {times[1].id, times[2].id}


async def test_published_lists_pending_conversions_with_a_confirmed_message(stores: Stores) -> None:
    lost = a_pending_conversion(published=1)
    for other in (
        lost,
        a_pending_conversion(published=0),
        a_pending_conversion(published=1, updated_at=NOW_MS + 10),
        a_pending_conversion(published=1, lane=Lane.BULK),
        a_pending_conversion(published=1, family=Family.IMAGE),
        a_running_conversion(published=1),
    ):
        await stores.conversions.insert(other)

    of_one = await stores.conversions.published(Family.OFFICE, Lane.NORMAL, changed_before_ms=NOW_MS + 10, limit=9)
    of_all = await stores.conversions.published(None, None, changed_before_ms=NOW_MS + 10, limit=9)

    assert of_one == [lost]
    assert len(of_all) == 3


async def test_processing_and_abandoned_uploads_are_found(stores: Stores) -> None:
    running, waiting = a_running_conversion(), a_conversion(created_at=NOW_MS - 2)
    older = a_conversion(created_at=NOW_MS - 3)
    for one in (running, waiting, older, a_conversion(created_at=NOW_MS)):
        await stores.conversions.insert(one)

    assert [one.id for one in await stores.conversions.processing(limit=10)] == [running.id]
    abandoned = await stores.conversions.awaiting_upload(created_before_ms=NOW_MS, limit=10)
    assert [one.id for one in abandoned] == [older.id, waiting.id]


async def test_only_a_terminal_conversion_is_deleted(stores: Stores) -> None:
    """M3: a user deletes an entry, but not one that is being worked on."""
    alive, ended = a_running_conversion(), a_conversion(status=Status.CANCELLED)
    await stores.conversions.insert(alive)
    await stores.conversions.insert(ended)

    assert not await stores.conversions.delete_unchanged(alive)
    assert await stores.conversions.delete_unchanged(ended)
    assert not await stores.conversions.delete_unchanged(ended)

    assert await stores.conversions.get(ended.id) is None
    assert await stores.conversions.get(alive.id) == alive


async def test_count_by_status_leaves_out_empty_statuses(stores: Stores) -> None:
    for one in (a_conversion(), a_conversion(), a_running_conversion(), a_conversion(owner="bob")):
        await stores.conversions.insert(one)

    assert await stores.conversions.count_by_status(owner="ann") == {
        Status.AWAITING_UPLOAD: 2,
        Status.PROCESSING: 1,
    }
    assert (await stores.conversions.count_by_status())[Status.AWAITING_UPLOAD] == 3


async def test_every_change_applies_in_a_whole_life(stores: Stores) -> None:
    """I4: from the upload over a lost worker, a retry and a cancelled run to a result that expires."""
    store = stores.conversions
    start = a_conversion()
    await store.insert(start)

    async def apply(change: Change) -> Conversion:
        after = await store.apply(change)
        assert after is not None, f"{change.to} was refused"
        return after

    now = await apply(transitions.confirm(start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS))
    now = await apply(transitions.published(now, next_due_ms=NOW_MS + 60_000))
    now = await apply(processing.claim(now.id, token=now.token, worker="w1", now_ms=NOW_MS))
    now = await apply(processing.worker_lost(now, now_ms=NOW_MS))
    assert (now.lane, now.attempt, now.lost) == (Lane.HIGH, 0, 1)
    now = await apply(processing.claim(now.id, token=now.token, worker="w2", now_ms=NOW_MS))
    now = await apply(processing.retry_later(now, code="engine_crashed", message="crashed", wait_ms=5, now_ms=NOW_MS))
    now = await apply(transitions.schedule_publish(now, due_ms=NOW_MS + 5))
    assert (now.publish_due, now.wait_ms) == (NOW_MS + 5, None)
    now = await apply(processing.claim(now.id, token=now.token, worker="w2", now_ms=NOW_MS))
    now = await apply(processing.hand_back(now, now_ms=NOW_MS))
    now = await apply(processing.claim(now.id, token=now.token, worker="w3", now_ms=NOW_MS))
    now = await apply(processing.fail(now, code="source_corrupt", message="damaged", now_ms=NOW_MS))
    assert [error.code for error in now.errors] == ["engine_crashed", "source_corrupt"]
    now = await apply(transitions.retry(now, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS))
    now = await apply(transitions.cancel_waiting(now.id, owner="ann", now_ms=NOW_MS))
    now = await apply(transitions.retry(now, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS))
    now = await apply(processing.claim(now.id, token=now.token, worker="w4", now_ms=NOW_MS))
    now = await apply(transitions.request_cancel(now.id, owner="ann", now_ms=NOW_MS))
    now = await apply(processing.cancel_running(now, now_ms=NOW_MS))
    now = await apply(transitions.retry(now, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS))
    now = await apply(processing.claim(now.id, token=now.token, worker="w5", now_ms=NOW_MS))
    now = await apply(processing.complete(now, outputs=(OUTPUT,), engine_versions={"lo": "7.4"}, now_ms=NOW_MS))
    assert (now.status, now.outputs, now.token) == (Status.COMPLETED, (OUTPUT,), 6)
    now = await apply(transitions.lose_result(now, now_ms=NOW_MS))
    now = await apply(transitions.find_result(now, now_ms=NOW_MS))
    now = await apply(transitions.lose_result(now, now_ms=NOW_MS))
    now = await apply(transitions.retry(now, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS))
    now = await apply(processing.claim(now.id, token=now.token, worker="w6", now_ms=NOW_MS))
    now = await apply(processing.complete(now, outputs=(OUTPUT,), engine_versions={"lo": "7.4"}, now_ms=NOW_MS))
    assert (now.result_lost_at, now.token) == (None, 7)
    now = await apply(transitions.expire_result(now, now_ms=NOW_MS))
    assert (now.status, now.outputs) == (Status.EXPIRED, ())


async def test_conditions_see_a_flag_set_and_cleared(stores: Stores) -> None:
    pending = a_pending_conversion()
    await stores.conversions.insert(pending)

    def set_flag(*, expected: bool, to: bool) -> Change:
        return transition(
            pending.id,
            {Status.PENDING},
            Status.PENDING,
            where={"cancel_requested": expected},
            assign={"cancel_requested": to},
        )

    raised = await stores.conversions.apply(set_flag(expected=False, to=True))
    assert raised is not None and raised.cancel_requested is True
    assert await stores.conversions.apply(set_flag(expected=False, to=True)) is None
    lowered = await stores.conversions.apply(set_flag(expected=True, to=False))
    assert lowered is not None and lowered.cancel_requested is False
    assert await stores.conversions.apply(processing.claim(pending.id, token=0, worker="w", now_ms=NOW_MS)) is not None


async def test_has_pending_counts_per_owner(stores: Stores) -> None:
    for one in (a_pending_conversion(), a_pending_conversion(), a_running_conversion(), a_conversion()):
        await stores.conversions.insert(one)

    assert await stores.conversions.has_pending("ann", at_least=1)
    assert await stores.conversions.has_pending("ann", at_least=2)
    assert not await stores.conversions.has_pending("ann", at_least=3)
    assert not await stores.conversions.has_pending("bob", at_least=1)


async def test_waiting_for_pages_waiters_of_a_key_oldest_first(
    stores: Stores,
) -> None:
    """I8: a leader that ends finds the waiters of its result."""
    waiting = [a_pending_conversion(waits_for="k") for _ in range(5)]
    others = [
        a_pending_conversion(),
        a_pending_conversion(waits_for="another"),
        a_running_conversion(waits_for="k"),
    ]
    for one in (*reversed(waiting), *others):
        await stores.conversions.insert(one)

    first = await stores.conversions.waiting_for("k", after=None, limit=3)
    rest = await stores.conversions.waiting_for("k", after=first[-1].id, limit=3)

    assert (len(first), len(rest)) == (3, 2)
    assert [*first, *rest] == waiting


async def test_waiter_changes_check_their_conditions(stores: Stores) -> None:
    start = a_running_conversion()
    await stores.conversions.insert(start)

    follows = await stores.conversions.apply(processing.wait_for_leader(start, cache_key="k", wait_ms=9, now_ms=NOW_MS))
    assert follows is not None
    elsewhere = msgspec.structs.replace(follows, waits_for="another")
    refused = await stores.conversions.apply(transitions.end_wait(elsewhere, wait_ms=9, now_ms=NOW_MS))
    released = await stores.conversions.apply(transitions.end_wait(follows, wait_ms=9, now_ms=NOW_MS))

    assert refused is None
    assert released == msgspec.structs.replace(follows, lane=Lane.HIGH)
