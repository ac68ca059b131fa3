"""Clients of either side: each submits one job after the other, and repeats what was not accepted, until it is stopped.

`python -m bench.reliability.clients own|peer`. A job is accepted when its record is durable; with Celery its message
must be confirmed as well, because nothing would send it later.
"""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable

from kombu.exceptions import KombuError
from pymongo.errors import DuplicateKeyError, PyMongoError

from bench.reliability.journal import ACCEPTED, ATTEMPTED, note
from bench.reliability.peer import app, convert, records
from bench.reliability.producer import pending
from converto_core.conversion.record import Conversion
from converto_core.conversion.transitions import published
from converto_core.errors import BusUnavailable, DuplicateKey, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.ids import new_id, now_ms
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging

CLIENTS = 3
THINK_S, AGAIN_S = 0.15, 0.5
CONFIRMED_WITHIN_S = 5


async def own(settings: Settings) -> None:
    """Submit like the file service: the record is the acceptance, publishing may fail."""
    stores, bus, stopping = MongoStores.connect(settings), RabbitEventBus.connect(settings), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def client() -> None:
        while not stopping.is_set():
            conversion = pending()
            await _submit_until_accepted(stores, conversion)
            await _publish(stores, bus, conversion, settings)
            await asyncio.sleep(THINK_S)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await bus.close()
    await stores.close()


async def _submit_until_accepted(stores: MongoStores, conversion: Conversion) -> None:
    while not await _accepted(stores, conversion):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(AGAIN_S)


async def _accepted(stores: MongoStores, conversion: Conversion) -> bool:
    note(ATTEMPTED, conversion.id)
    try:
        await stores.conversions.insert(conversion)
    except DuplicateKey:
        pass  # an earlier attempt succeeded, but its answer was lost
    except StoreUnavailable:
        return False
    note(ACCEPTED, conversion.id)
    return True


async def _publish(stores: MongoStores, bus: RabbitEventBus, conversion: Conversion, settings: Settings) -> None:
    try:
        await bus.publish(conversion_created(conversion))
        due_ms = now_ms() + int(settings.republish_after_s * 1000)
        await stores.conversions.apply(published(conversion, next_due_ms=due_ms))
    except (BusUnavailable, StoreUnavailable):
        pass  # housekeeping publishes it


def peer() -> None:
    """Submit to Celery: record first, then the task with the same id, so that a repetition is the same job."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threads = [threading.Thread(target=_peer_client, args=(stopping.is_set,)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _peer_client(is_stopping: Callable[[], bool]) -> None:
    while not is_stopping():
        job_id = new_id()
        while not _peer_accepted(job_id):
            time.sleep(AGAIN_S)
        time.sleep(THINK_S)


def _peer_accepted(job_id: str) -> bool:
    note(ATTEMPTED, job_id)
    try:
        records().insert_one({"_id": job_id, "status": "pending", "created_at": now_ms()})
    except DuplicateKeyError:
        pass
    except PyMongoError:
        return False
    try:
        convert.apply_async((job_id,), task_id=job_id, confirm_timeout=CONFIRMED_WITHIN_S)
    except (KombuError, OSError):
        return False
    note(ACCEPTED, job_id)
    return True


def main() -> None:
    """Submit jobs until SIGTERM."""
    settings = Settings()
    configure_logging(settings, service="clients")
    app.set_default()
    if sys.argv[1] == "own":
        asyncio.run(own(settings))
    else:
        peer()


if __name__ == "__main__":
    main()
