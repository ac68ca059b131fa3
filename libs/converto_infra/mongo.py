"""The stores on MongoDB, Amazon DocumentDB or a small server with their protocol, over one client.

Only the files named mongo import PyMongo. What all these servers do alike is said in `mongo_collection.py`.
"""

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from converto_infra.mongo_access import MongoAccessStore
from converto_infra.mongo_cache import MongoCacheStore
from converto_infra.mongo_collection import Document, translated
from converto_infra.mongo_conversions import MongoConversionStore
from converto_infra.mongo_files import MongoFileStore
from converto_infra.mongo_workers import MongoWorkerStore
from converto_infra.resilience import database_guard
from converto_infra.settings import Settings

POOL_SIZE = 50
WARM_CONNECTIONS = 2  # opening a connection costs more than a call; a burst should not begin with it


class MongoStores:
    """The stores of one database, behind one guard."""

    def __init__(self, client: AsyncMongoClient[Document], settings: Settings) -> None:
        self._client = client
        self._database: AsyncDatabase[Document] = client[settings.mongodb_database]
        self.guard = database_guard(settings)
        self.conversions = MongoConversionStore(self._database["conversions"], self.guard)
        self.files = MongoFileStore(self._database["files"], self.guard)
        self.cache = MongoCacheStore(self._database["cache"], self.guard)
        self.workers = MongoWorkerStore(self._database["workers"], self.guard)
        self.access = MongoAccessStore(self._database["api_keys"], self._database["idempotency"], self.guard)

    @classmethod
    def connect(cls, settings: Settings) -> "MongoStores":
        """Make the client; it opens connections when they are first needed and again after the server was away."""
        timeout_ms = int(settings.mongodb_timeout_s * 1000)
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.mongodb_url.get_secret_value(),
            retryWrites=settings.mongodb_retry_writes,
            retryReads=False,  # the guard repeats reads; one retry inside another multiplies the wait
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
            waitQueueTimeoutMS=timeout_ms,
            maxPoolSize=POOL_SIZE,
            minPoolSize=WARM_CONNECTIONS,
            appname="converto",
        )
        return cls(client, settings)

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""

        async def call() -> None:
            with translated():
                await self._database.command("ping")

        await self.guard.run(call)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing; safe to repeat."""
        await self.conversions.ensure_indexes()
        await self.files.ensure_indexes()
        await self.cache.ensure_indexes()
        await self.workers.ensure_indexes()

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()
