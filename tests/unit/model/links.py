"""The network links between processes and servers, with faults: dead links, lost answers, held requests.

Each process has its own link to each server, so one process can be cut off while the others are not.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Protocol

from converto_core.errors import BusUnavailable, DependencyUnavailable, DuplicateKey
from converto_core.events import ConversionEvent
from converto_core.formats import Family
from converto_core.ports.bus import Delivery
from converto_infra.memory.bus import MemorySlot
from converto_infra.memory.stores import MemoryEventBus

DEADLINE_S = 1.5  # how long a driver waits for an answer

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
        """Set the fault, optionally for the next call only (`is_once`) or for conditional updates only.

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
    except (DependencyUnavailable, DuplicateKey):
        return  # the caller has gone


class Remote:
    """A port whose calls go over the link of one process; subscriptions and dead letters bypass it."""

    def __init__(self, target: Any, link: Link) -> None:
        self._target, self._link = target, link

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._link.call(lambda: method(*arguments, **named), is_write=name == "apply")

        return call


class RemoteStores:
    """The stores, called over the link of one process."""

    def __init__(self, target: Any, link: Link) -> None:
        self._target, self._link = target, link

    def __getattr__(self, name: str) -> Any:
        if name in {"ping", "ensure_indexes", "identity"}:
            return getattr(Remote(self._target, self._link), name)
        return Remote(getattr(self._target, name), self._link)


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
