"""The stores on MongoDB, Amazon DocumentDB or a small server with their protocol, over one client.

Only the files named mongo import PyMongo. What all these servers do alike is said in `mongo_collection.py`.
"""

import contextlib

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from converto_core.errors import DuplicateKey
from converto_core.ids import new_id
from converto_infra.mongo.access import MongoAccessStore
from converto_infra.mongo.cache import MongoCacheStore
from converto_infra.mongo.collection import Collection, Document, translated
from converto_infra.mongo.conversions import MongoConversionStore
from converto_infra.mongo.dead_letters import MongoDeadLetterStore
from converto_infra.mongo.files import MongoFileStore
from converto_infra.mongo.history import MongoHistoryStore
from converto_infra.mongo.workers import MongoWorkerStore
from converto_infra.resilience import database_guard
from converto_infra.settings import Settings

POOL_SIZE = 100  # above what is served at once: whoever waits for a connection does so within the deadline of its call
CONNECT_TIMEOUT_MS = 1000  # also how long the driver looks for a server that is silent, before it looks again
THE_INSTALLATION: Document = {"_id": "this"}
WARM_CONNECTIONS = 2  # opening a connection costs more than a call; a burst should not begin with it


class MongoStores:
    """The stores of one database, behind one guard."""

    def __init__(
        self, client: AsyncMongoClient[Document], settings: Settings, *, name: str, timeout_s: float | None
    ) -> None:
        """`name` is for logs and metrics; `timeout_s` is the deadline of one call where the usual one is too long."""
        self._client = client
        self._database: AsyncDatabase[Document] = client[settings.mongodb_database]
        self.guard = database_guard(settings, name=name, timeout_s=timeout_s)
        self.history = MongoHistoryStore(self._database["history"], self.guard)
        self.conversions = MongoConversionStore(self._database["conversions"], self.guard, self.history)
        self.files = MongoFileStore(self._database["files"], self.guard)
        self.cache = MongoCacheStore(self._database["cache"], self.guard)
        self.workers = MongoWorkerStore(self._database["workers"], self.guard)
        self.dead_letters = MongoDeadLetterStore(self._database["parked"], self.guard)
        self.access = MongoAccessStore(self._database["api_keys"], self._database["idempotency"], self.guard)
        self._installation = Collection(self._database["installation"], self.guard)

    @classmethod
    def connect(cls, settings: Settings, *, name: str = "database", timeout_s: float | None = None) -> "MongoStores":
        """Make the client; it opens connections when they are first needed and again after the server was away."""
        # The driver's own deadlines are the same: it does not always notice that it was told to stop.
        timeout_ms = int((timeout_s or settings.mongodb_timeout_s) * 1000)
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.mongodb_url.get_secret_value(),
            retryWrites=settings.mongodb_retry_writes,
            retryReads=False,  # the guard repeats reads; one retry inside another multiplies the wait
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=min(timeout_ms, CONNECT_TIMEOUT_MS),
            socketTimeoutMS=timeout_ms,
            waitQueueTimeoutMS=timeout_ms,
            maxPoolSize=POOL_SIZE,
            minPoolSize=WARM_CONNECTIONS,
            appname="converto",
        )
        return cls(client, settings, name=name, timeout_s=timeout_s)

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""

        async def call() -> None:
            with translated():
                await self._database.command("ping")

        await self.guard.run(call)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing; safe to repeat."""
        await self.conversions.ensure_indexes()
        await self.history.ensure_indexes()
        await self.files.ensure_indexes()
        await self.cache.ensure_indexes()
        await self.workers.ensure_indexes()
        await self.dead_letters.ensure_indexes()
        await self.access.ensure_indexes()

    async def identity(self) -> str:
        """An id that this database gives itself when it is first asked, and keeps."""
        known = await self._installation.get(THE_INSTALLATION)
        if known is None:
            with contextlib.suppress(DuplicateKey):  # another process was faster
                await self._installation.insert({**THE_INSTALLATION, "identity": new_id()})
            known = await self._installation.get(THE_INSTALLATION)
        return str((known or {})["identity"])

    async def close(self) -> None:
        """Write what the history still holds, then end all connections."""
        await self.history.close()
        await self._client.close()
