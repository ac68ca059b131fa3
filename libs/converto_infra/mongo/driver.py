"""Builds the MongoDB client of the configured driver: PyMongo's asyncio client, or Motor over the same store code."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from pymongo import AsyncMongoClient
from pymongo.lock import Lock

from converto_infra.settings import Settings

MOST_WAITERS = 10_000  # calls of one client at once; there are at most as many as requests

Document = dict[str, Any]
T = TypeVar("T")


def make_client(settings: Settings, **options: Any) -> AsyncMongoClient[Document]:
    """A client that opens connections when they are first needed; `options` are those of both drivers."""
    url = settings.database_url.get_secret_value()
    if settings.mongodb_driver == "motor":
        # Imported here because it is an extra. Its collections have the methods of PyMongo's, so they share the type.
        from motor.motor_asyncio import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
            AsyncIOMotorClient,
        )

        return cast("AsyncMongoClient[Document]", AsyncIOMotorClient(url, **options))
    return AsyncMongoClient(url, **options)


async def awaited(answer: Awaitable[T]) -> T:
    """The result of `aggregate` or `close`, which PyMongo's client awaits and Motor returns at once."""
    return await answer if inspect.isawaitable(answer) else answer


async def has_lost_lock(client: AsyncMongoClient[Document], *, within_s: float) -> bool:
    """True when a lock of the client is not released in time; the driver never holds one while it waits for a server.

    The driver has no public way to find out. Motor's locks belong to threads and are never lost.
    """
    for lock in _locks_of(client):
        try:
            async with asyncio.timeout(within_s):
                await lock.acquire()
        except TimeoutError:
            return True
        lock.release()
    return False


async def free_locks(client: AsyncMongoClient[Document]) -> None:
    """Release the locks of a client that is not used any more, until no call waits for one: each of them takes the lock
    before it notices that it was cancelled, and leaves it behind."""
    for _ in range(MOST_WAITERS):
        held = [lock for lock in _locks_of(client) if lock.locked()]
        if not held:
            return
        for lock in held:
            lock.release()
        await asyncio.sleep(0)  # the next one takes it
        await asyncio.sleep(0)


def _locks_of(client: AsyncMongoClient[Document]) -> list[Lock]:
    """The locks under which the driver waits for a server and for a connection, and can lose them."""
    topology = vars(client).get("_topology") if isinstance(client, AsyncMongoClient) else None
    if topology is None:
        return []
    return [topology._lock, *(server.pool.lock for server in topology._servers.values())]
