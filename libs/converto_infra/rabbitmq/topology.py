"""Declares the exchanges, queues and bindings on RabbitMQ, and goes on without those that it may not declare."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed
from aiormq.exceptions import ConnectionInternalError

from converto_core.events import DEAD_LETTER_QUEUE
from converto_infra.metrics import BROKER_FAULTS
from converto_infra.rabbitmq.declarations import Declaration, all_declarations, fault_text, is_stream
from converto_infra.rabbitmq.silent_queues import Open, SilentQueues

TOPOLOGY_TIMEOUT_S = 10  # the first declaration creates 25 replicated queues
DECLARATION_TIMEOUT_S = 3.0  # a queue that has lost its majority may never answer
# A slow broker may take those 3 s for each queue after a restart, and a new connection begins with the first again.
DECLARE_ALL_TIMEOUT_S = 120
CHANNEL_CLOSE_TIMEOUT_S = 1.0

log = structlog.get_logger(__name__)


class Fault(msgspec.Struct, frozen=True):
    """An exchange or a queue that is not as it should be; `is_usable` when it can be used all the same."""

    text: str
    is_usable: bool


class Topology:
    """Declares everything once per connection, and again when something turns out to be missing.

    Each exchange and queue is declared apart, because an administrator may have made one of them anew with other
    arguments: the broker then refuses the declaration and closes the channel, but all others work.
    """

    def __init__(self, *, declaration_timeout_s: float = DECLARATION_TIMEOUT_S) -> None:
        """An exchange or a queue that takes longer to declare has a fault, too."""
        self._timeout_s = declaration_timeout_s
        self._all = tuple(all_declarations())
        self._missing = {declaration.name for declaration in self._all}
        self._faults: dict[str, Fault] = {}
        self._silent = SilentQueues(timeout_s=declaration_timeout_s, kept={DEAD_LETTER_QUEUE})

    @property
    def is_declared(self) -> bool:
        """False when something may be missing."""
        return not self._missing

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with single exchanges and queues, and what to do."""
        return (*(fault.text for fault in self._faults.values()), *self._silent.faults)

    @property
    def has_to_be_looked_at(self) -> bool:
        """Whether there is something that may be repaired meanwhile."""
        return bool(self._faults) or not self._silent.is_empty

    def is_usable(self, queue: str) -> bool:
        """False for a queue that would end the channel or the connection of whoever uses it."""
        is_refused = queue in self._faults and not self._faults[queue].is_usable
        return not is_refused and not self.is_silent(queue)

    def is_silent(self, queue: str) -> bool:
        """True for a queue that does not answer, or may be such a one."""
        return self._silent.is_left_out(queue)

    def queue_of(self, routing_key: str) -> str | None:
        """The queue that takes this key; None for a key of live events."""
        for declaration in self._all:
            if getattr(declaration, "routing_key", None) == routing_key:
                return declaration.name
        return None

    def forget(self) -> None:
        """Declare everything again before the next use."""
        self._missing = {declaration.name for declaration in self._all}

    def forget_route(self, routing_key: str) -> None:
        """Declare everything again because no queue takes this key, unless the fault of its queue is known."""
        if self.queue_of(routing_key) not in self._faults:
            self.forget()

    def leave_out(self, queue: str) -> None:
        """Do without a queue until an inspection has shown whether it answers."""
        self._silent.leave_out(queue)

    def refuse(self, queue: str, refusal: str) -> None:
        """Do without a queue that the broker does not let us use, until the next look at it."""
        for declaration in self._all:
            if declaration.name == queue:
                self._remember(declaration, Fault(fault_text(declaration, refusal, is_usable=False), is_usable=False))

    async def ensure(self, connection: AbstractConnection) -> None:
        """Declare what may be missing. What was declared before an interruption is not declared again."""
        await self._declare_all(connection, self._missing)  # shrinks meanwhile: two connections share the work

    async def look_again(self, connection: AbstractConnection) -> None:
        """Declare what could not be declared; an administrator may have repaired it."""
        await self._declare_all(connection, set(self._faults))

    async def look_at_all(self, connection: AbstractConnection) -> None:
        """Declare everything again, because an administrator may have changed what no message has met yet."""
        await self._declare_all(connection, {declaration.name for declaration in self._all})

    async def inspect(self, open_connection: Open) -> None:
        """Ask silent queues whether they answer, on connections of their own; raises what `open_connection` raises."""
        self._missing.update(await self._silent.inspect(open_connection))
        BROKER_FAULTS.set(len(self.faults))

    async def _declare_all(self, connection: AbstractConnection, names: set[str]) -> None:
        channels = _Channels(connection, self._timeout_s)
        try:
            for declaration in self._all:
                if declaration.name not in names:
                    continue
                if not self._silent.is_left_out(declaration.name):
                    await self._declare(declaration, channels)
                self._missing.discard(declaration.name)
        finally:
            await channels.close()

    async def _declare(self, declaration: Declaration, channels: "_Channels") -> None:
        try:
            self._remember(declaration, await _declare(declaration, channels))
        except ConnectionInternalError:  # the next connection has to get past it
            self.leave_out(declaration.name)
            raise

    def _remember(self, declaration: Declaration, fault: Fault | None) -> None:
        known = self._faults.pop(declaration.name, None)
        if fault is not None:
            self._faults[declaration.name] = fault
        if fault is not None and fault != known:
            log.error("topology.fault", kind=declaration.kind, name=declaration.name, reason=fault.text)
        if fault is None and known is not None:
            log.info("topology.repaired", kind=declaration.kind, name=declaration.name)
        BROKER_FAULTS.set(len(self.faults))


class _Channels:
    """One channel after another: the broker closes the channel of a declaration that it refuses."""

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._connection, self.timeout_s = connection, timeout_s
        self._channel: AbstractChannel | None = None

    async def current(self) -> AbstractChannel:
        """An open channel; raises `TimeoutError` when the connection gives none, because then it is dead."""
        if self._channel is None or self._channel.is_closed:
            async with asyncio.timeout(self.timeout_s):
                self._channel = await self._connection.channel()
        return self._channel

    async def close(self) -> None:
        """Close the channel, which may still wait for an answer."""
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(CHANNEL_CLOSE_TIMEOUT_S):
                    await channel.close()


async def _declare(declaration: Declaration, channels: _Channels) -> Fault | None:
    """Declare one exchange or queue with its binding; returns what is wrong with it."""
    refusal = await _refusal_of(declaration.declare, channels)
    if refusal is None:
        refusal = await _refusal_of(declaration.bind, channels)
        return None if refusal is None else Fault(fault_text(declaration, refusal, is_usable=True), is_usable=True)
    is_usable = not is_stream(refusal) and await _refusal_of(declaration.find, channels) is None
    if is_usable:
        await _refusal_of(declaration.bind, channels)  # so that messages reach it, whatever it is
    return Fault(fault_text(declaration, refusal, is_usable=is_usable), is_usable=is_usable)


async def _refusal_of(step: Callable[[AbstractChannel], Awaitable[None]], channels: _Channels) -> str | None:
    """Take one step; returns what the broker said against it, or None. Raises when the connection is lost."""
    channel = await channels.current()
    try:
        async with asyncio.timeout(channels.timeout_s):
            await step(channel)
    except ChannelClosed as error:
        return str(error)
    except TimeoutError:
        await channels.close()
        return f"the broker did not answer within {channels.timeout_s:g} s"
    return None
