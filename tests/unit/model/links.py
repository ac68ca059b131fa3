"""What lies between a process and its servers: lines that go dead, lose answers, hold requests. It knows no conversion.

Each process has a line of its own to each server, so that one may be cut off while the others are not.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Protocol

from converto_core.errors import BusUnavailable, DependencyUnavailable
from converto_core.events import ConversionEvent
from converto_core.formats import Family
from converto_core.ports.bus import Delivery
from converto_infra.memory.bus import MemorySlot
from converto_infra.memory.stores import MemoryEventBus

DEADLINE_S = 1.5  # how long a driver waits for an answer

ACTOR: ContextVar["Sender"] = ContextVar("ACTOR")
"""Who is at work; each task of a process carries it, so that a judge can tell who changed what."""


class Weather(StrEnum):
    """What a line does to a call."""

    CLEAR = "clear"
    AWAY = "away"
    """Nothing arrives, and the caller is told at once."""
    DEAF = "deaf"
    """It arrives, but its answer is lost."""
    HELD = "held"
    """It waits; when the caller has given up, it arrives all the same as soon as the line is clear."""
    SLOW = "slow"
    """It arrives; the answer waits, and is lost when the caller gives up."""


class Sender(Protocol):
    """The process at this end of a line."""

    @property
    def is_dead(self) -> bool:
        """True when nothing it does reaches anybody any more."""

    @property
    def role(self) -> str:
        """What kind of process it is."""

    @property
    def lease_s(self) -> float:
        """The lease it believes in."""

    async def awake(self) -> None:
        """Wait while the process is frozen."""

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run something in its name."""


class Line:
    """One process's way to one server."""

    def __init__(self, sender: Sender, error: type[DependencyUnavailable]) -> None:
        """`error` is what the caller sees when the line fails."""
        self.weather = Weather.CLEAR
        self._sender, self._error = sender, error
        self._is_once, self._is_for_writes = False, False
        self._clear = asyncio.Event()
        self._clear.set()
        self._waiting = 0
        self._late: list[Callable[[], Awaitable[Any]]] = []

    def turn(self, weather: Weather, *, is_once: bool = False, is_for_writes: bool = False) -> None:
        """Change the weather, for the next call only or for conditional updates only if so asked.

        What was held arrives when it is clear again.
        """
        if weather is Weather.CLEAR:
            self._clear.set()
            late, self._late = self._late, []
            for operation in late:
                self._sender.spawn(_unheard(operation))
        else:
            self._clear.clear()
        self.weather, self._is_once, self._is_for_writes = weather, is_once, is_for_writes

    @property
    def holds_some(self) -> bool:
        """True when a request hangs in this line, or its caller has given up waiting for it."""
        return bool(self._late) or self._waiting > 0

    async def clear(self) -> None:
        """Wait until the line is clear."""
        await self._clear.wait()

    async def call(self, operation: Callable[[], Awaitable[Any]], *, is_write: bool = False) -> Any:
        """The answer of the server, or the error of the line."""
        await self._sender.awake()
        weather = self._weather_for(is_write)
        if weather is Weather.AWAY:
            await asyncio.sleep(0)
            raise self._error(detail="the line is dead")
        if weather is Weather.HELD:
            await self._hold(operation)
        answer = await operation()
        if weather is Weather.SLOW:
            await self._in_time()
        await self._sender.awake()
        if weather is Weather.DEAF or self._sender.is_dead:
            raise self._error(detail="the answer was lost")
        return answer

    def _weather_for(self, is_write: bool) -> Weather:
        if self._sender.is_dead:
            return Weather.AWAY
        if self._is_for_writes and not is_write:
            return Weather.CLEAR
        weather = self.weather
        if self._is_once:
            self.turn(Weather.CLEAR)
        return weather

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


async def _unheard(operation: Callable[[], Awaitable[Any]]) -> None:
    try:
        await operation()
    except DependencyUnavailable:
        return  # nobody listens any more


class Far:
    """A port as one process sees it: each call goes over its line. What is held open (facts, dead letters) does not."""

    def __init__(self, near: Any, line: Line) -> None:
        self._near, self._line = near, line

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._near, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._line.call(lambda: method(*arguments, **named), is_write=name == "apply")

        return call


class FarStores:
    """The stores of the database as one process sees them."""

    def __init__(self, near: Any, line: Line) -> None:
        self._near, self._line = near, line

    def __getattr__(self, name: str) -> Any:
        if name in {"ping", "ensure_indexes", "identity"}:
            return getattr(Far(self._near, self._line), name)
        return Far(getattr(self._near, name), self._line)


class FarBus(Far):
    """The bus as one process sees it. Facts never raise; a slot hears nothing while the line is not clear."""

    def __init__(self, near: MemoryEventBus, line: Line) -> None:
        super().__init__(near, line)
        self._bus = near

    async def publish_event(self, event: ConversionEvent) -> None:
        try:
            await self._line.call(lambda: self._bus.publish_event(event))
        except BusUnavailable:
            return

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["FarSlot"]:
        async with self._bus.open_slot(families, quarantine=quarantine) as slot:
            yield FarSlot(slot, self._line)


class FarSlot:
    """A slot at the other end of a line."""

    def __init__(self, near: MemorySlot, line: Line) -> None:
        self._near, self._line = near, line

    async def next(self) -> Delivery:
        await self._line.clear()
        wakeup = await self._near.next()
        await self._line.clear()
        await ACTOR.get().awake()
        return wakeup
