"""Builds the MongoDB client of the configured driver: PyMongo's asyncio client, or Motor over the same store code."""

import inspect
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from pymongo import AsyncMongoClient

from converto_infra.settings import Settings

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
