"""All stores on one MongoDB client: MongoDB, Amazon DocumentDB or a small server that speaks their protocol."""

import contextlib
import functools
import time
from collections.abc import Callable

import msgspec
from pymongo import AsyncMongoClient

from converto_core.errors import DuplicateKey
from converto_core.ids import new_id
from converto_infra.mongo.access import MongoAccessStore
from converto_infra.mongo.cache import MongoCacheStore
from converto_infra.mongo.client import RenewableClient
from converto_infra.mongo.collection import Collection, translating
from converto_infra.mongo.conversions import MongoConversionStore
from converto_infra.mongo.dead_letters import MongoDeadLetterStore
from converto_infra.mongo.driver import Document, make_client
from converto_infra.mongo.files import MongoFileStore
from converto_infra.mongo.history import MongoHistoryStore
from converto_infra.mongo.workers import MongoWorkerStore
from converto_infra.resilience import database_guard
from converto_infra.settings import Settings
from converto_infra.unreadable import UnreadableRecords

POOL_SIZE = 100  # above the concurrency limit; waiting for a connection counts towards the deadline of the call
CONNECT_TIMEOUT_MS = 1000  # also how long the driver waits for a silent server before it probes again
DRIVER_SHARE = 0.9  # of the deadline of a call
INSTALLATION: Document = {"_id": "this"}
WARM_CONNECTIONS = 2  # opening a connection costs more than a call, so a burst should find some open


class MongoStores:
    """The stores of one database, behind one guard."""

    def __init__(
        self,
        make: Callable[[], AsyncMongoClient[Document]],
        settings: Settings,
        *,
        name: str,
        timeout_s: float | None = None,
        unreadable: UnreadableRecords | None = None,
    ) -> None:
        """`name` labels logs and metrics; `timeout_s` replaces the configured deadline of one call.

        `make` is called again when the client has to be replaced. `unreadable` is for two stores of one process.
        """
        self._unreadable = unreadable = unreadable or UnreadableRecords()
        call_timeout_s = timeout_s or settings.mongodb_timeout_s
        client = RenewableClient(make, settings.mongodb_database, name=name, call_timeout_s=call_timeout_s)
        self._client, current = client, client.collection
        self.guard = database_guard(
            settings, name=name, timeout_s=timeout_s, on_broken=client.renew, on_missed=client.examine
        )
        self.history = MongoHistoryStore(current("history"), self.guard)
        self.conversions = MongoConversionStore(current("conversions"), self.guard, self.history, unreadable=unreadable)
        self.files = MongoFileStore(current("files"), self.guard, unreadable)
        self.cache = MongoCacheStore(current("cache"), self.guard)
        self.workers = MongoWorkerStore(current("workers"), self.guard, unreadable)
        self.dead_letters = MongoDeadLetterStore(current("parked"), self.guard, unreadable)
        self.access = MongoAccessStore(current("api_keys"), current("idempotency"), self.guard)
        self._installation = Collection(current("installation"), msgspec.Struct, self.guard)

    @classmethod
    def connect(
        cls,
        settings: Settings,
        *,
        name: str = "database",
        timeout_s: float | None = None,
        unreadable: UnreadableRecords | None = None,
    ) -> "MongoStores":
        """Create the stores; the client connects on first use and reconnects after an outage."""
        # The driver gets a shorter deadline, so that it seldom has to be cancelled: it does not always react.
        timeout_ms = int((timeout_s or settings.mongodb_timeout_s) * DRIVER_SHARE * 1000)
        make = functools.partial(
            make_client,
            settings,
            retryWrites=settings.mongodb_retry_writes,
            retryReads=False,  # the guard retries reads; nested retries multiply the wait
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
        return cls(make, settings, name=name, timeout_s=timeout_s, unreadable=unreadable)

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the client is being renewed, until the new one has answered a ping; and records it cannot read."""
        renewed = (self._client.fault,) if self._client.fault else ()
        return (*renewed, *self._unreadable.faults)

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""
        began_at_s = time.monotonic()
        await self.guard.run(lambda: translating(lambda: self._client.database.command("ping")))
        self._client.proved(began_at_s)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing; safe to repeat."""
        named = (self.conversions, self.history, self.files, self.cache, self.workers, self.dead_letters, self.access)
        for store in named:
            await store.ensure_indexes()

    async def identity(self) -> str:
        """The id of this database, created on the first call."""
        known = await self._installation.get_document(INSTALLATION)
        if known is None:
            with contextlib.suppress(DuplicateKey):  # another process created it first
                await self._installation.insert_document({**INSTALLATION, "identity": new_id()})
            known = await self._installation.get_document(INSTALLATION)
        return str((known or {})["identity"])

    async def close(self) -> None:
        """Write the remaining history entries, then close all connections."""
        await self.history.close()
        await self._client.close()
