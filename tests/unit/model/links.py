"""The network links between processes and servers, with faults: dead links, lost answers, held requests.

Each process has its own link to each server, so one process can be cut off while the others are not.
"""

import asyncio
import hashlib
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from converto_core.errors import BusUnavailable, ConvertoError, DependencyUnavailable
from converto_core.events import ConversionEvent
from converto_core.formats import Family
from converto_core.ports.bus import Delivery
from converto_core.ports.objects import Digest
from converto_infra.memory.bus import MemorySlot
from converto_infra.memory.stores import MemoryEventBus

DEADLINE_S = 1.5  # how long a driver waits for an answer
WRITES = frozenset(
    {"apply", "insert", "update", "delete", "delete_unchanged", "delete_older", "take_look", "lead", "take_over"}
    | {"replace_upload"}
    | {"claim_answer", "remember_answer", "release_answer", "put", "copy", "upload", "publish"}
)
MAX_BYTES = 1_000_000
AGED = frozenset({"old_entries", "old_answers"})  # ports inside of ports
VALUES = frozenset({"is_away", "hidden_s"})  # attributes that may change
TURNS = (0, 0, 0, 0, 1, 2, 3, 5)  # of the loop that a call may take longer than another, where calls are shuffled

ACTOR: ContextVar["Sender"] = ContextVar("ACTOR")
"""The process that is running; each of its tasks carries it, so the model knows who made a change."""


class Fault(StrEnum):
    """What a link does to a call."""

    NONE = "none"
    UNREACHABLE = "unreachable"
    """The request does not arrive, and the caller gets the error at once."""
    ANSWER_LOST = "answer_lost"
    """The request arrives, but its answer is lost."""
    HELD = "held"
    """The request waits, and arrives once the link works again, even if the caller has timed out."""
    SLOW = "slow"
    """The request arrives; its answer waits, and is lost if the caller times out."""


class Sender(Protocol):
    """The process at the client end of a link."""

    @property
    def is_dead(self) -> bool:
        """True when its requests reach no server any more."""

    @property
    def role(self) -> str:
        """The kind of process."""

    @property
    def is_shuffled(self) -> bool:
        """True when its calls take longer or shorter by chance, so that calls overtake each other."""

    @property
    def lease_s(self) -> float:
        """The lease that it is configured with."""

    async def awake(self) -> None:
        """Wait while the process is frozen."""

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this process."""


class Link:
    """The link of one process to one server."""

    def __init__(self, sender: Sender, error: type[DependencyUnavailable]) -> None:
        """`error` is raised when the link fails."""
        self.fault = Fault.NONE
        self._sender, self._error = sender, error
        self._is_once, self._is_for_writes = False, False
        self._clear = asyncio.Event()
        self._clear.set()
        self._waiting = 0
        self._late: list[Callable[[], Awaitable[Any]]] = []

    def set_fault(self, fault: Fault, *, is_once: bool = False, is_for_writes: bool = False) -> None:
        """Set the fault, optionally for the next call only (`is_once`) or for writes only.

        Held requests arrive when the fault is removed.
        """
        if fault is Fault.NONE:
            self._clear.set()
            late, self._late = self._late, []
            for operation in late:
                self._sender.spawn(_without_answer(operation))
        else:
            self._clear.clear()
        self.fault, self._is_once, self._is_for_writes = fault, is_once, is_for_writes

    @property
    def has_pending_requests(self) -> bool:
        """True while a request waits in this link, whether or not its caller has timed out."""
        return bool(self._late) or self._waiting > 0

    async def clear(self) -> None:
        """Wait until the link works."""
        await self._clear.wait()

    async def call(self, operation: Callable[[], Awaitable[Any]], *, is_write: bool = False) -> Any:
        """Return the answer of the server, or raise the error of the link."""
        await self._sender.awake()
        if self._sender.is_shuffled:
            for _ in range(TURNS[int(random.random() * len(TURNS))]):
                await asyncio.sleep(0)
        fault = self._fault_for(is_write)
        if fault is Fault.UNREACHABLE:
            await asyncio.sleep(0)
            raise self._error(detail="the link is dead")
        if fault is Fault.HELD:
            await self._hold(operation)
        answer = await operation()
        if fault is Fault.SLOW:
            await self._in_time()
        await self._sender.awake()
        if fault is Fault.ANSWER_LOST or self._sender.is_dead:
            raise self._error(detail="the answer was lost")
        return answer

    def _fault_for(self, is_write: bool) -> Fault:
        if self._sender.is_dead:
            return Fault.UNREACHABLE
        if self._is_for_writes and not is_write:
            return Fault.NONE
        fault = self.fault
        if self._is_once:
            self.set_fault(Fault.NONE)
        return fault

    async def _hold(self, operation: Callable[[], Awaitable[Any]]) -> None:
        try:
            await self._in_time()
        except BaseException:
            self._late.append(operation)
            raise

    async def _in_time(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.clear()
        except TimeoutError as error:
            raise self._error(detail="no answer in time") from error
        finally:
            self._waiting -= 1


async def _without_answer(operation: Callable[[], Awaitable[Any]]) -> None:
    try:
        await operation()
    except ConvertoError:
        return  # the caller has gone


class Remote:
    """A port whose calls go over the link of one process; subscriptions and dead letters bypass it."""

    def __init__(self, target: Any, link: Link) -> None:
        self._target, self._link = target, link

    def __getattr__(self, name: str) -> Any:
        """Called once for each name: the next time, the attribute is there."""
        found = self._remote(name, getattr(self._target, name))
        if name not in VALUES:
            setattr(self, name, found)
        return found

    def _remote(self, name: str, method: Any) -> Any:
        if name in AGED:
            return Remote(method, self._link)
        if not inspect.iscoroutinefunction(method):
            return method
        is_write = name in WRITES

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._link.call(lambda: method(*arguments, **named), is_write=is_write)

        return call


class RemoteObjects(Remote):
    """The object store, called over the link of one process. Files are read and written at its own end."""

    async def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Digest:
        del filename
        body = path.read_bytes()
        await self._link.call(lambda: self._target.put(key, body, content_type=content_type), is_write=True)
        return _digest(body)

    async def download(self, key: str, path: Path) -> Digest:
        body = await self._link.call(lambda: self._target.read_range(key, start=0, length=MAX_BYTES))
        path.write_bytes(body)
        return _digest(body)


def _digest(body: bytes) -> Digest:
    return Digest(
        size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), sha512=hashlib.sha512(body).hexdigest()
    )


class RemoteStores:
    """The stores, called over the link of one process."""

    def __init__(self, target: Any, link: Link) -> None:
        self._target, self._link = target, link

    def __getattr__(self, name: str) -> Any:
        if name in {"ping", "ensure_indexes", "identity"}:
            found = getattr(Remote(self._target, self._link), name)
        else:
            found = Remote(getattr(self._target, name), self._link)
        setattr(self, name, found)
        return found


class RemoteBus(Remote):
    """The bus, called over the link of one process. Events never raise; a slot receives nothing during a fault."""

    def __init__(self, target: MemoryEventBus, link: Link) -> None:
        super().__init__(target, link)
        self._bus = target

    async def publish_event(self, event: ConversionEvent) -> None:
        try:
            await self._link.call(lambda: self._bus.publish_event(event))
        except BusUnavailable:
            return

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["RemoteSlot"]:
        async with self._bus.open_slot(families, quarantine=quarantine) as slot:
            yield RemoteSlot(slot, self._link)


class RemoteSlot:
    """A consumer at the other end of a link."""

    def __init__(self, target: MemorySlot, link: Link) -> None:
        self._target, self._link = target, link

    async def next(self) -> Delivery:
        await self._link.clear()
        delivery = await self._target.next()
        await self._link.clear()
        await ACTOR.get().awake()
        return delivery
