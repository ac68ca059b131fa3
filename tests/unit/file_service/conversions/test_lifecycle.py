"""Cancel, retry and delete conversions (M3)."""

import pytest

from converto_core.conversion.processing import add_waiter, fail, record_source, wait_for_leader, worker_lost
from converto_core.conversion.record import Lane
from converto_core.ids import now_ms
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.key_records import KeyRecords
from file_service.housekeeping.retention.orphans import Orphans
from tests.unit.file_service.conftest import PNG, System, problem

ADDRESS = "/api/v1/conversions"


async def test_cancel_when_it_waits_then_cancelled_at_once(system: System) -> None:
    conversion_id = await system.pending()

    answer = await system.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert (await system.record(conversion_id)).publish_due is None


async def test_cancel_when_it_runs_then_worker_is_asked(system: System) -> None:
    conversion_id = await system.pending()
    await system.claimed(conversion_id)

    answer = await system.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    assert answer.status_code == 202
    assert answer.json()["status"] == "processing"
    assert answer.json()["cancel_requested"] is True


async def test_waiters_hear_of_a_cancelled_leader(system: System) -> None:
    """Behaviour I8: also of one that had lost its worker and waited to run again."""
    leader_id, waiter_id = await system.pending(), await system.pending()
    leader = await system.claimed(leader_id)
    await system.apply(record_source(leader, source_sha256="0" * 64, cache_key="key", now_ms=now_ms()))
    waiter = await system.claimed(waiter_id)
    await system.apply(wait_for_leader(waiter, cache_key="key", wait_ms=60_000, now_ms=now_ms()))
    leader = await system.apply(add_waiter(leader_id, token=leader.token))
    await system.apply(worker_lost(leader, now_ms=now_ms()))

    assert (await system.api.post(f"{ADDRESS}/{leader_id}/cancel")).status_code == 200

    async def is_told() -> bool:
        return (await system.record(waiter_id)).lane is Lane.HIGH

    await system.until(is_told)


async def test_cancel_when_it_has_ended_then_409(system: System) -> None:
    conversion_id = await system.pending()
    await system.completed(conversion_id)

    refused = problem(await system.api.post(f"{ADDRESS}/{conversion_id}/cancel"), 409, "conflict")

    assert "already completed" in refused["detail"]


async def test_retry_of_failed_is_pending_with_fresh_attempt_count(system: System) -> None:
    conversion_id = await system.pending()
    running = await system.claimed(conversion_id)
    await system.apply(fail(running, code="engine_crashed", message="crashed", now_ms=now_ms()))

    answer = await system.api.post(f"{ADDRESS}/{conversion_id}/retry")

    body = answer.json()
    assert answer.status_code == 202
    assert (body["status"], body["attempt"], body["error"]) == ("pending", 0, None)
    assert (await system.record(conversion_id)).token == running.token
    assert len(body["errors"]) == 1


@pytest.mark.parametrize("state", ["awaiting_upload", "pending", "processing", "completed"])
async def test_retry_when_it_has_not_failed_then_409(system: System, state: str) -> None:
    if state == "awaiting_upload":
        conversion_id = (await system.announced(PNG, "a.png", "webp"))["conversion"]["id"]
    else:
        conversion_id = await system.pending()
    if state == "processing":
        await system.claimed(conversion_id)
    if state == "completed":
        await system.completed(conversion_id)

    problem(await system.api.post(f"{ADDRESS}/{conversion_id}/retry"), 409, "conflict")


async def test_retry_without_source_is_409_with_advice(system: System) -> None:
    conversion_id = await system.pending()
    await system.api.post(f"{ADDRESS}/{conversion_id}/cancel")
    await system.api.delete(f"/api/v1/files/{(await system.record(conversion_id)).file_id}")

    answer = await system.api.post(f"{ADDRESS}/{conversion_id}/retry")

    assert "upload it again" in problem(answer, 409, "conflict")["detail"]


async def test_retry_when_the_source_never_came_then_409(system: System) -> None:
    conversion_id = (await system.announced(PNG, "a.png", "webp"))["conversion"]["id"]
    await system.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    problem(await system.api.post(f"{ADDRESS}/{conversion_id}/retry"), 409, "conflict")


async def test_delete_when_ended_then_record_and_results_are_gone(system: System) -> None:
    """M3: delete an entry."""
    conversion_id = await system.pending()
    await system.completed(conversion_id, b"one", b"two")

    answer = await system.api.delete(f"{ADDRESS}/{conversion_id}")

    assert answer.status_code == 204
    assert await system.objects.list_keys("t/anna/out/") == []
    problem(await system.api.get(f"{ADDRESS}/{conversion_id}"), 404, "not_found")


@pytest.mark.parametrize("is_running", [False, True])
async def test_delete_when_it_is_alive_then_409(system: System, is_running: bool) -> None:
    conversion_id = await system.pending()
    if is_running:
        await system.claimed(conversion_id)

    problem(await system.api.delete(f"{ADDRESS}/{conversion_id}"), 409, "conflict")


async def test_delete_while_the_store_is_away_deletes_nothing(system: System) -> None:
    conversion_id = await system.pending()
    await system.completed(conversion_id)
    system.objects.is_away = True

    problem(await system.api.delete(f"{ADDRESS}/{conversion_id}"), 503, "object_store_unavailable")

    assert (await system.record(conversion_id)).outputs


async def test_delete_interrupted_after_the_record_leaves_only_orphans(system: System) -> None:
    """The record goes first; what the store still has then belongs to no record, and the sweep deletes it."""
    conversion_id = await system.pending()
    await system.completed(conversion_id)
    system.objects.refuses_deletes = True

    answer = await system.api.delete(f"{ADDRESS}/{conversion_id}")
    system.objects.refuses_deletes = False

    assert answer.status_code == 204
    problem(await system.api.get(f"{ADDRESS}/{conversion_id}"), 404, "not_found")
    (key,) = await system.objects.list_keys(f"t/anna/out/{conversion_id}/")
    records = KeyRecords(system.stores.conversions, system.stores.files)
    mark = BucketMark(system.objects, system.stores.identity)
    await mark.claim()
    orphans = Orphans(records, system.objects, mark, age_s=60)
    removals = [removal async for removal in orphans.removals(now_ms() + 120_000)]
    assert [(one.id, one.reason) for removal in removals for one in removal.removed] == [
        (key, "its conversion does not exist")
    ]
    for removal in removals:
        await removal.run()
    assert await system.objects.list_keys(f"t/anna/out/{conversion_id}/") == []
