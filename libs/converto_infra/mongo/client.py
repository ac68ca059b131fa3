"""The client of one database, which is replaced by a new one when its driver cannot be trusted any more.

PyMongo can lose a lock of its client. Every later call that needs it then waits for ever, and nothing but a new client
helps. Collections are therefore asked for at each call and never kept.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

import structlog
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from converto_infra.deadline import AbandonableCalls, CallAborted
from converto_infra.metrics import CLIENTS_RENEWED
from converto_infra.mongo.driver import Document, awaited, free_locks, has_lost_lock

CLOSE_TIMEOUT_S = 2.0
LOCK_TIMEOUT_S = 1.0  # the driver holds its locks for microseconds; this much leaves room for a busy machine
# A new client opens connections and asks every server for its state: a storm of them would do harm of its own.
PAUSE_FIRST_S, PAUSE_LONGEST_S = 1.0, 30.0
HEALTHY_AFTER_S = 60.0  # a client that lasted this long ends the series of renewals

CurrentCollection = Callable[[], AsyncCollection[Document]]

log = structlog.get_logger(__name__)


class RenewableClient:
    """One client at a time; the one that it replaces finishes its calls and is closed in the background."""

    def __init__(
        self,
        make: Callable[[], AsyncMongoClient[Document]],
        database: str,
        *,
        name: str,
        call_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` labels logs and metrics; a replaced client is closed when its last calls have missed their deadline.

        `clock` counts the seconds that calls are dated with.
        """
        self._make, self._database_name, self._name, self._clock = make, database, name, clock
        self._call_timeout_s = call_timeout_s
        self._closing_calls = AbandonableCalls(f"{name}_close")
        self._retiring: set[asyncio.Task[None]] = set()
        self._examination: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._pause_s, self._closing = 0.0, asyncio.Event()
        self._fault = ""
        self._alive: WeakSet[AsyncMongoClient[Document]] = WeakSet()
        self._use(make())

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The database on the current client."""
        return self._database

    @property
    def fault(self) -> str:
        """Why the client is being renewed; empty when it has answered since."""
        return self._fault

    def collection(self, name: str) -> CurrentCollection:
        """A function that returns this collection of the current client."""

        def current() -> AsyncCollection[Document]:
            if (known := self._collections.get(name)) is None:
                known = self._collections[name] = self._database[name]
            return known

        return current

    def renew(self, began_at_s: float, reason: str) -> None:
        """Replace the client because of a call that began then, unless it began before the client was made."""
        if began_at_s < self._made_at_s or self._renewal is not None or self._closing.is_set():
            return
        self._fault = f"the database client is being renewed: {reason}"
        age_s = self._clock() - self._made_at_s
        if age_s >= HEALTHY_AFTER_S:
            self._pause_s = 0.0
        # Through the loop even without a pause: a call must not lose its client while it reports.
        self._renewal = asyncio.get_running_loop().call_later(max(self._pause_s - age_s, 0.0), self._replace, reason)

    def examine(self, began_at_s: float) -> None:
        """Look for a lost lock in the background, because a call that began then missed its deadline.

        A call that waits for a lock can be cancelled, so that it is not abandoned, but no call gets past that lock.
        """
        is_running = self._examination is not None and not self._examination.done()
        if not is_running and began_at_s >= self._made_at_s and not self._closing.is_set():
            self._examination = asyncio.create_task(self._examine(began_at_s))

    def proved(self, began_at_s: float) -> None:
        """Take back the fault, because a call that began then was answered."""
        if self._renewal is None and began_at_s >= self._made_at_s:
            self._fault = ""

    async def close(self) -> None:
        """Close the current client and those that it has replaced; never takes longer than two deadlines.

        Calls that wait for a lost lock of any of them are ended, because the end of the process waits for them.
        """
        self._closing.set()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._examination is not None:
            self._examination.cancel()
        await asyncio.gather(self._close(self._client), *self._retiring)
        for client in list(self._alive):
            await free_locks(client)

    async def _examine(self, began_at_s: float) -> None:
        if await has_lost_lock(self._client, within_s=LOCK_TIMEOUT_S):
            self.renew(began_at_s, "a lock of the driver is never released")

    def _replace(self, reason: str) -> None:
        old, self._renewal = self._client, None
        self._pause_s = min(max(2 * self._pause_s, PAUSE_FIRST_S), PAUSE_LONGEST_S)
        self._use(self._make())
        CLIENTS_RENEWED.labels(self._name).inc()
        log.warning("database.client_renewed", dependency=self._name, reason=reason, next_after_s=self._pause_s)
        retiring = asyncio.create_task(self._retire(old))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    def _use(self, client: AsyncMongoClient[Document]) -> None:
        self._alive.add(client)
        self._client, self._made_at_s = client, self._clock()
        self._database: AsyncDatabase[Document] = client[self._database_name]
        self._collections: dict[str, AsyncCollection[Document]] = {}

    async def _retire(self, client: AsyncMongoClient[Document]) -> None:
        with suppress(TimeoutError):  # its last calls may still be answered
            async with asyncio.timeout(self._call_timeout_s):
                await self._closing.wait()
        await self._close(client)

    async def _close(self, client: AsyncMongoClient[Document]) -> None:
        """Close a client; one that has lost a lock hangs here too, until nobody holds its locks any more."""
        if (fault := await self._fault_of_closing(client)) is not None:
            await free_locks(client)
            fault = await self._fault_of_closing(client)
        if fault is not None:
            log.warning("database.client_not_closed", dependency=self._name, reason=repr(fault))
        await free_locks(client)

    async def _fault_of_closing(self, client: AsyncMongoClient[Document]) -> Exception | None:
        try:
            await self._closing_calls.within(CLOSE_TIMEOUT_S, lambda: awaited(client.close()))
        except (TimeoutError, CallAborted, PyMongoError, RuntimeError) as error:
            return error
        return None
