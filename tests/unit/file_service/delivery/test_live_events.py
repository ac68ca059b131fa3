"""Server-sent events: snapshot first, in the record's order, right without a broker, and with a clean end."""

import asyncio
import json
from typing import Any

from converto_core.conversion.processing import beat
from converto_core.events import conversion_event
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import PNG, Events, World, running_world

ADDRESS = "/api/v1/conversions"


def parsed(event: str | None) -> tuple[str, str, dict[str, Any]]:
    """Name, id and body of an event."""
    assert event is not None
    fields = dict(line.split(": ", 1) for line in event.splitlines())
    return fields["event"], fields["id"], json.loads(fields["data"])


async def test_follow_one_when_it_runs_through_then_snapshot_changes_and_end(world: World) -> None:
    conversion_id = await world.pending()
    async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
        assert events.status == 200
        assert (b"content-type", b"text/event-stream; charset=utf-8") in events.start["headers"]
        assert await events.next() == "retry: 2000"
        name, event_id, body = parsed(await events.next())
        running = await world.claimed(conversion_id)
        started = parsed(await events.next())
        await world.apply(beat(conversion_id, token=running.token, now_ms=now_ms(), percent=50, stage="rendering"))
        progressed = parsed(await events.next())
        await world.stores.conversions.apply(_done(await world.record(conversion_id)))
        completed = parsed(await events.next())

        assert (name, event_id) == ("snapshot", f"{conversion_id}:0:0:pending")
        assert body["id"] == conversion_id
        assert started[0] == "conversion"
        assert started[1] == f"{conversion_id}:1:1:processing"
        assert progressed[2]["percent"] == 50
        assert completed[2]["status"] == "completed"
        assert await events.next() is None


async def test_follow_one_when_a_fact_arrives_then_told_without_waiting_for_the_next_look() -> None:
    async with running_world(sse_poll_s=3600.0) as world:
        conversion_id = await world.pending()
        async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
            await events.next()
            await events.next()
            running = await world.claimed(conversion_id)
            await world.bus.publish_event(conversion_event(running))

            while (news := parsed(await events.next()))[2]["status"] != "processing":
                pass  # the fact of the creation itself may still be on its way

            assert news[0] == "conversion"


async def test_follow_one_when_broker_is_away_then_still_right() -> None:
    async with running_world(sse_poll_s=0.01) as world:
        world.bus.is_away = True
        conversion_id = await world.pending()
        async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
            await events.next()
            await events.next()
            await world.completed(conversion_id)

            last = parsed(await events.next())
            while last[2]["status"] != "completed":
                last = parsed(await events.next())

            assert await events.next() is None


async def test_follow_one_when_it_has_ended_then_snapshot_and_end_and_204_for_who_knows(world: World) -> None:
    conversion_id = await world.pending()
    await world.completed(conversion_id)
    address = f"{ADDRESS}/{conversion_id}/events"
    async with Events(world, address) as events:
        await events.next()
        name, event_id, _ = parsed(await events.next())
        assert name == "snapshot"
        assert await events.next() is None

    answer = await world.api.get(address, headers={"Last-Event-ID": event_id})

    assert answer.status_code == 204


async def test_follow_one_when_it_is_deleted_then_the_stream_ends(world: World) -> None:
    created = await world.announced(PNG, "a.png", "webp")
    conversion_id = created["conversion"]["id"]
    async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        await world.api.post(f"{ADDRESS}/{conversion_id}/cancel")
        await world.api.delete(f"{ADDRESS}/{conversion_id}")

        while (event := await events.next()) is not None:
            assert parsed(event)[2]["status"] == "cancelled"


async def test_follow_one_when_nothing_happens_then_pings() -> None:
    async with running_world(sse_ping_s=0.005, sse_poll_s=0.005) as world:
        conversion_id = await world.pending()
        async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
            heard = [await events.next() for _ in range(6)]

            assert heard.count(": ping") >= 3


async def test_follow_one_when_database_is_away_for_a_while_then_the_stream_goes_on(world: World) -> None:
    conversion_id = await world.pending()
    async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        world.stores.is_away = True
        for _ in range(50):
            await asyncio.sleep(0)
        world.stores.is_away = False
        await world.completed(conversion_id)

        last = parsed(await events.next())
        while last[2]["status"] != "completed":
            last = parsed(await events.next())

        assert await events.next() is None


async def test_follow_all_when_things_change_then_only_mine_and_only_of_this_client(world: World) -> None:
    """M3: by client."""
    first = await world.pending(client_id="foyer")
    await world.pending(client_id="hall")
    async with Events(world, "/api/v1/events?client_id=foyer") as events:
        await events.next()
        snapshot = parsed(await events.next())
        wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 5}, "client_id": "foyer"}
        await world.stranger.post(ADDRESS, json=wanted)
        await world.announced(PNG, "b.png", "webp", client_id="hall")
        second = (await world.announced(PNG, "c.png", "webp", client_id="foyer"))["conversion"]["id"]
        created = parsed(await events.next())
        await world.completed(first)
        finished = parsed(await events.next())
        while finished[2]["status"] != "completed":
            finished = parsed(await events.next())

        assert (snapshot[0], snapshot[2]["id"]) == ("snapshot", first)
        assert (created[0], created[2]["id"]) == ("conversion", second)
        assert finished[2]["id"] == first


async def test_follow_all_when_resumed_then_snapshot_tells_what_finished_meanwhile(world: World) -> None:
    conversion_id = await world.pending()
    await world.completed(conversion_id)
    async with Events(world, "/api/v1/events", **{"last-event-id": "x"}) as events:
        await events.next()

        name, _, body = parsed(await events.next())

        assert (name, body["id"], body["status"]) == ("snapshot", conversion_id, "completed")


async def test_follow_when_server_stops_then_all_streams_end(world: World) -> None:
    conversion_id = await world.pending()
    async with (
        Events(world, f"{ADDRESS}/{conversion_id}/events") as one,
        Events(world, "/api/v1/events") as everything,
    ):
        for events in (one, everything):
            await events.next()
            await events.next()

        world.service.close_streams()

        while await one.next() is not None:
            pass
        while await everything.next() is not None:
            pass


async def test_follow_when_listener_leaves_then_nothing_of_it_stays(world: World) -> None:
    conversion_id = await world.pending()
    async with Events(world, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        assert len(world.service.wiring.notifications._listeners) == 1

    assert len(world.service.wiring.notifications._listeners) == 0


def _done(running: Any) -> Any:
    from converto_core.conversion.processing import complete

    return complete(running, outputs=(), engine_versions={}, now_ms=now_ms())
