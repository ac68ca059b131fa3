"""Submits work for either side: reads a count from stdin, submits that many jobs, and prints their ids.

`python -m bench.reliability.producer own|peer|peer_once`; each input line `COUNT` is answered with one line of JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from bench.reliability.peer import app, nothing, nothing_once, records
from converto_core.conversion.record import Conversion, Status, Step
from converto_core.conversion.transitions import published
from converto_core.events import conversion_created
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging

AT_ONCE = 8  # concurrent requests in one process, on both sides


def pending() -> Conversion:
    """Return a pending conversion, as after a confirmed upload."""
    now = now_ms()
    return Conversion(
        id=new_id(),
        owner="bench",
        file_id=new_id(),
        filename="picture.png",
        source_format="png",
        target_format="webp",
        plan=(Step("vips", "png", "webp"),),
        family=Family.IMAGE,
        status=Status.PENDING,
        publish_due=now,
        created_at=now,
        updated_at=now,
    )


async def serve_own() -> None:
    """Submit like the file service: durable record, confirmed message, later outbox date."""
    settings = Settings()
    configure_logging(settings, service="producer")  # logs must not go to stdout, which is for answers
    stores, bus = MongoStores.connect(settings), RabbitEventBus.connect(settings)

    async def one() -> str:
        conversion = pending()
        await stores.conversions.insert(conversion)
        await bus.publish(conversion_created(conversion))
        due_ms = now_ms() + int(settings.republish_after_s * 1000)
        await stores.conversions.apply(published(conversion, next_due_ms=due_ms))
        return conversion.id

    await stores.ensure_indexes()  # as the file service does; each update maintains them
    await one()
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer(await _many(one, int(line)))
    await bus.close()
    await stores.close()


async def _many(one: Callable[[], Awaitable[str]], count: int) -> list[str]:
    ids, left = list[str](), iter(range(count))

    async def some() -> None:
        for _ in left:
            ids.append(await one())

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return ids


def serve_peer(one: Callable[[], str]) -> None:
    """Submit to Celery with the same number of concurrent requests, by threads: Celery has no async client."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        one()
        while line := sys.stdin.readline():
            answer(list(threads.map(lambda _: one(), range(int(line)))))


def by_celery() -> str:
    """Publish a task and wait for the confirmation."""
    return str(nothing.delay(1).id)


def by_celery_once() -> str:
    """Insert a durable record, then publish a task that names it."""
    record_id = new_id()
    now = time.time_ns() // 1_000_000
    records().insert_one({"_id": record_id, "status": "pending", "token": 0, "created_at": now})
    nothing_once.delay(record_id)
    return record_id


def answer(ids: list[str]) -> None:
    """Print the ids as one line of JSON."""
    print(json.dumps(ids), flush=True)


def main() -> None:
    """Serve until stdin ends."""
    side = sys.argv[1]
    if side == "own":
        asyncio.run(serve_own())
        return
    app.set_default()
    serve_peer(by_celery if side == "peer" else by_celery_once)


if __name__ == "__main__":
    main()
