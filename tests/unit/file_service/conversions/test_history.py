"""`GET /conversions/{id}/history`: what happened, in order, with reasons."""

import pytest

from converto_core.conversion.processing import fail, hand_back, worker_lost
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import World, problem

ADDRESS = "/api/v1/conversions"


async def test_history_when_it_was_handed_back_lost_and_failed_then_all_of_it_is_told(world: World) -> None:
    conversion_id = await world.pending()
    await world.apply(hand_back(await world.claimed(conversion_id), now_ms=now_ms()))
    await world.apply(worker_lost(await world.claimed(conversion_id), now_ms=now_ms()))
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


@pytest.mark.parametrize(
    ("code", "may_help"),
    [("insufficient_storage", True), ("internal_error", True), ("engine_crashed", True), ("source_corrupt", False)],
)
async def test_error_when_another_try_may_help_then_the_record_says_so(world: World, code: str, may_help: bool) -> None:
    """I4: a user is told whether `retry` makes sense."""
    conversion_id = await world.pending()
    await world.apply(fail(await world.claimed(conversion_id), code=code, message="why", now_ms=now_ms()))

    shown = (await world.api.get(f"{ADDRESS}/{conversion_id}")).json()

    assert shown["error"] == {"code": code, "message": "why", "retryable": may_help}
