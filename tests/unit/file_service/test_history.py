"""`GET /conversions/{id}/history`: what happened, in order, with reasons."""

from converto_core.changes import fail, hand_back, lost
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import World, problem

ADDRESS = "/api/v1/conversions"


async def test_history_when_it_was_handed_back_lost_and_failed_then_all_of_it_is_told(world: World) -> None:
    conversion_id = await world.pending()
    await world.apply(hand_back(await world.claimed(conversion_id), now_ms=now_ms()))
    await world.apply(lost(await world.claimed(conversion_id), now_ms=now_ms()))
    running = await world.claimed(conversion_id)
    await world.apply(fail(running, code="source_corrupt", message="The file is damaged", now_ms=now_ms()))

    answer = await world.api.get(f"{ADDRESS}/{conversion_id}/history")

    body = answer.json()
    events = [entry["event"] for entry in body["history"]]
    assert answer.status_code == 200
    assert events == [
        "created", "queued", "started", "handed_back", "started", "worker_lost", "started", "failed",
    ]  # fmt: skip
    assert [entry["number"] for entry in body["history"]] == list(range(1, 9))
    assert body["history"][5]["lane"] == "high"
    assert (body["history"][7]["code"], body["history"][7]["message"]) == ("source_corrupt", "The file is damaged")
    assert body["history"][7]["attempts_lost"] == 1
    assert body["missing"] == 0


async def test_history_when_a_stranger_asks_then_it_does_not_exist(world: World) -> None:
    conversion_id = await world.pending()

    problem(await world.stranger.get(f"{ADDRESS}/{conversion_id}/history"), 404, "not_found")
