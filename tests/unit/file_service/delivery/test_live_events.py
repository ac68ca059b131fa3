"""Server-sent events: snapshot first, the record's order, correct without a broker, and a clean end."""

import asyncio
import json
from typing import Any

from converto_core.conversion.processing import beat
from converto_core.events import conversion_event
from converto_core.ids import now_ms
from tests.unit.file_service.conftest import PNG, Events, System, running_system

ADDRESS = "/api/v1/conversions"


def parsed(event: str | None) -> tuple[str, str, dict[str, Any]]:
    """Return name, id and body of an event."""
    assert event is not None
    fields = dict(line.split(": ", 1) for line in event.splitlines())
    return fields["event"], fields["id"], json.loads(fields["data"])


async def test_stream_sends_snapshot_changes_and_end(system: System) -> None:
    conversion_id = await system.pending()
    async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
        assert events.status == 200
        assert (b"content-type", b"text/event-stream; charset=utf-8") in events.start["headers"]
        assert await events.next() == "retry: 2000"
        name, event_id, body = parsed(await events.next())
        running = await system.claimed(conversion_id)
        started = parsed(await events.next())
        await system.apply(beat(conversion_id, token=running.token, now_ms=now_ms(), percent=50, stage="rendering"))
        progressed = parsed(await events.next())
        await system.stores.conversions.apply(_done(await system.record(conversion_id)))
        completed = parsed(await events.next())

        assert (name, event_id) == ("snapshot", f"{conversion_id}:0:0:pending")
        assert body["id"] == conversion_id
        assert started[0] == "conversion"
        assert started[1] == f"{conversion_id}:1:1:processing"
        assert progressed[2]["percent"] == 50
        assert completed[2]["status"] == "completed"
        assert await events.next() is None


async def test_broker_event_is_sent_without_waiting_for_a_poll() -> None:
    async with running_system(sse_poll_s=3600.0) as system:
        conversion_id = await system.pending()
        async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
            await events.next()
            await events.next()
            running = await system.claimed(conversion_id)
            await system.bus.publish_event(conversion_event(running))

            while (event := parsed(await events.next()))[2]["status"] != "processing":
                pass  # the event of the creation itself may still be on its way

            assert event[0] == "conversion"


async def test_follow_one_when_broker_is_away_then_still_right() -> None:
    async with running_system(sse_poll_s=0.01) as system:
        system.bus.is_away = True
        conversion_id = await system.pending()
        async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
            await events.next()
            await events.next()
            await system.completed(conversion_id)

            last = parsed(await events.next())
            while last[2]["status"] != "completed":
                last = parsed(await events.next())

            assert await events.next() is None


async def test_ended_conversion_sends_snapshot_then_204_on_reconnect(system: System) -> None:
    conversion_id = await system.pending()
    await system.completed(conversion_id)
    address = f"{ADDRESS}/{conversion_id}/events"
    async with Events(system, address) as events:
        await events.next()
        name, event_id, _ = parsed(await events.next())
        assert name == "snapshot"
        assert await events.next() is None

    answer = await system.api.get(address, headers={"Last-Event-ID": event_id})

    assert answer.status_code == 204


async def test_follow_one_when_it_is_deleted_then_the_stream_ends(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")
    conversion_id = created["conversion"]["id"]
    async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        await system.api.post(f"{ADDRESS}/{conversion_id}/cancel")
        await system.api.delete(f"{ADDRESS}/{conversion_id}")

        while (event := await events.next()) is not None:
            assert parsed(event)[2]["status"] == "cancelled"


async def test_follow_one_when_nothing_happens_then_pings() -> None:
    async with running_system(sse_ping_s=0.005, sse_poll_s=0.005) as system:
        conversion_id = await system.pending()
        async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
            received = [await events.next() for _ in range(6)]

            assert received.count(": ping") >= 3


async def test_stream_survives_a_database_outage(system: System) -> None:
    conversion_id = await system.pending()
    async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        system.stores.is_away = True
        for _ in range(50):
            await asyncio.sleep(0)
        system.stores.is_away = False
        await system.completed(conversion_id)

        last = parsed(await events.next())
        while last[2]["status"] != "completed":
            last = parsed(await events.next())

        assert await events.next() is None


async def test_follow_all_sends_own_changes_of_this_client(system: System) -> None:
    """M3: by client."""
    first = await system.pending(client_id="foyer")
    await system.pending(client_id="hall")
    async with Events(system, "/api/v1/events?client_id=foyer") as events:
        await events.next()
        snapshot = parsed(await events.next())
        wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 5}, "client_id": "foyer"}
        await system.stranger.post(ADDRESS, json=wanted)
        await system.announced(PNG, "b.png", "webp", client_id="hall")
        second = (await system.announced(PNG, "c.png", "webp", client_id="foyer"))["conversion"]["id"]
        created = parsed(await events.next())
        await system.completed(first)
        finished = parsed(await events.next())
        while finished[2]["status"] != "completed":
            finished = parsed(await events.next())

        assert (snapshot[0], snapshot[2]["id"]) == ("snapshot", first)
        assert (created[0], created[2]["id"]) == ("conversion", second)
        assert finished[2]["id"] == first


async def test_follow_all_when_resumed_then_snapshot_tells_what_finished_meanwhile(system: System) -> None:
    conversion_id = await system.pending()
    await system.completed(conversion_id)
    async with Events(system, "/api/v1/events", **{"last-event-id": "x"}) as events:
        await events.next()

        name, _, body = parsed(await events.next())

        assert (name, body["id"], body["status"]) == ("snapshot", conversion_id, "completed")


async def test_follow_when_server_stops_then_all_streams_end(system: System) -> None:
    conversion_id = await system.pending()
    async with (
        Events(system, f"{ADDRESS}/{conversion_id}/events") as one,
        Events(system, "/api/v1/events") as everything,
    ):
        for events in (one, everything):
            await events.next()
            await events.next()

        system.service.close_streams()

        while await one.next() is not None:
            pass
        while await everything.next() is not None:
            pass


async def test_follow_when_listener_leaves_then_nothing_of_it_stays(system: System) -> None:
    conversion_id = await system.pending()
    async with Events(system, f"{ADDRESS}/{conversion_id}/events") as events:
        await events.next()
        await events.next()
        assert len(system.service.wiring.live_events._subscribers) == 1

    assert len(system.service.wiring.live_events._subscribers) == 0


def _done(running: Any) -> Any:
    from converto_core.conversion.processing import complete

    return complete(running, outputs=(), engine_versions={}, now_ms=now_ms())
