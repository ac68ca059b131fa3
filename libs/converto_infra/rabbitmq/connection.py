"""One connection to RabbitMQ: opening, deadlines, and recovery from loss.

It uses plain connections and its own back-off instead of aio-pika's robust ones: whatever breaks, the next call opens
connection, channel and topology anew, and the jitter keeps a fleet from reconnecting at the same moment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ConnectionInternalError

from converto_core.errors import BusUnavailable
from converto_infra.deadline import AbandonableCalls, CallAborted
from converto_infra.rabbitmq.refusals import Refusals, tell_when_blocked
from converto_infra.rabbitmq.topology import DECLARE_ALL_TIMEOUT_S, TOPOLOGY_TIMEOUT_S, Topology
from converto_infra.retry import Backoff
from converto_infra.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

HEARTBEAT_S = 15
REFUSALS = (ChannelAccessRefused, ChannelLockedResource)
BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S = 0.1, 2.0
LOOK_AGAIN_S = 5.0  # at an exchange or queue that could not be declared, so that its repair needs no restart


class Connection:
    """One connection, opened on first use and again after a loss."""

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        *,
        purpose: str,
        refusals: Refusals | None = None,
        look_at_all_s: float | None = None,
    ) -> None:
        """`purpose` (publish, consume) is part of the connection's name and of log events.

        `refusals` learns when the broker blocks this connection. Every `look_at_all_s` seconds everything is declared
        again, so that a fault is found before a message meets it.
        """
        self._refusals, self._look_at_all_s = refusals or Refusals(), look_at_all_s
        self._url, self._timeout_s = settings.broker_url.get_secret_value(), settings.rabbitmq_timeout_s
        self._topology, self._purpose = topology, purpose
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[AbstractConnection] | None = None
        # A driver that ignores a cancellation keeps its connection busy: it is as good as dead.
        self._calls = AbandonableCalls(f"broker_{purpose}", on_broken=lambda *_: self._discard_unless_connecting())
        self._looking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.generation = 0

    async def run(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Await one exchange with the broker within a deadline; raises `BusUnavailable` whatever goes wrong.

        A missed deadline also drops the connection: behind a silent network it would look alive for three heartbeats.
        """
        try:
            return await self._calls.within(timeout_s or self._timeout_s, call)
        except TimeoutError as error:
            self._discard_unless_connecting()
            raise BusUnavailable(detail=f"broker: no answer to {self._purpose} in time") from error
        except CallAborted as error:
            self.discard()
            raise BusUnavailable(detail="broker: the connection was lost") from error
        except REFUSALS as error:  # about one queue, and declaring everything again would not change it
            raise BusUnavailable(detail=f"broker: {error!r}") from error
        except CONNECTION_EXCEPTIONS as error:
            self.forget_topology()
            raise BusUnavailable(detail=f"broker: {error!r}") from error
        except Exception as error:
            if type(error) is not Exception:
                raise
            self.discard()  # aiormq raises a bare exception from a call whose channel it has given up
            raise BusUnavailable(detail="broker: the channel was lost") from error

    async def ask(self, queue: str, call: Callable[[], Awaitable[T]]) -> T:
        """One exchange about a queue, raising like `run`.

        The queue alone is left out from then on when the broker refuses it, and when it may be the one that is silent.
        """
        try:
            return await self.run(call)
        except BusUnavailable as error:
            if isinstance(error.__cause__, REFUSALS):
                self._topology.refuse(queue, str(error.__cause__))
                self._watch_faults()
            elif is_silence(error):
                self.leave_out_queue(queue)
            raise

    async def channel(self, *, is_confirmed: bool = False) -> AbstractChannel:
        """A new channel on a live connection."""
        connection = await self.connected()
        return await connection.channel(publisher_confirms=is_confirmed, on_return_raises=is_confirmed)

    async def connected(self) -> AbstractConnection:
        """The live connection, with the topology declared.

        Connecting runs in its own task with its own deadline: a slow broker needs longer than one caller waits, and
        would otherwise never be connected.
        """
        if self._connecting is None or self._connecting.done():
            if self._connection is not None and self._is_ready(self._connection):
                return self._connection
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(retrieve_exception)
        return await asyncio.shield(self._connecting)

    def is_usable(self, queue: str) -> bool:
        """False for a queue that the broker does not let us use."""
        return self._topology.is_usable(queue)

    def forget_topology(self) -> None:
        """Declare everything again before the next use, because something was missing."""
        self._topology.forget()

    def forget_route(self, routing_key: str) -> None:
        """Declare everything again before the next use, because no queue takes this key."""
        self._topology.forget_route(routing_key)

    def is_silent(self, queue: str) -> bool:
        """True for a queue that does not answer, or may be such a one."""
        return self._topology.is_silent(queue)

    def queue_of(self, routing_key: str) -> str | None:
        """The queue that takes this key; None for a key of live events."""
        return self._topology.queue_of(routing_key)

    def leave_out_queue(self, queue: str) -> None:
        """Do without a queue until an inspection has shown whether it answers."""
        self._topology.leave_out(queue)
        self._watch_faults()

    def discard(self) -> None:
        """Drop the connection; the next call opens a new one."""
        connection, self._connection = self._connection, None
        self.generation += 1
        self._stop_looking()
        if connection is not None:
            closing = asyncio.create_task(self._close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        self.discard()
        await asyncio.gather(*self._closing)

    def _discard_unless_connecting(self) -> None:
        """A missed deadline proves the connection dead, unless it was still being opened."""
        if self._connecting is None or self._connecting.done():
            self.discard()

    def _is_ready(self, connection: AbstractConnection) -> bool:
        return connection.connected.is_set() and self._topology.is_declared

    async def _connect(self) -> AbstractConnection:
        try:
            return await self._calls.within(DECLARE_ALL_TIMEOUT_S, self._open_and_declare)
        except TimeoutError:
            self.discard()
            raise

    async def _open_and_declare(self) -> AbstractConnection:
        if self._connection is None or not self._connection.connected.is_set():
            self.discard()
            self._topology.forget()
            self._connection = await self._open_unless_late(self.generation)
        connection = self._connection
        await self._topology.ensure(connection)
        self._watch_faults()
        return connection

    async def _open_unless_late(self, generation: int) -> AbstractConnection:
        """A new connection; one that opens after it was given up is closed."""
        connection = await self._open()
        if generation != self.generation:
            await self._close(connection)
            raise ConnectionError("the connection opened too late")
        return connection

    def _watch_faults(self) -> None:
        """Look again at what could not be declared, as long as there is such a thing."""
        if self._has_to_look and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        looked_at_all_s = time.monotonic()
        while self._has_to_look:
            await self._look(partial(self._topology.inspect, self._open_apart), timeout_s=DECLARE_ALL_TIMEOUT_S)
            await asyncio.sleep(min(LOOK_AGAIN_S, self._look_at_all_s or LOOK_AGAIN_S))
            if (connection := self._connection) is None:
                continue
            look = self._topology.look_again
            is_due = self._look_at_all_s is not None and time.monotonic() - looked_at_all_s >= self._look_at_all_s
            if is_due and not self._refusals.is_blocked:  # else each declaration would seem to have a fault
                look, looked_at_all_s = self._topology.look_at_all, time.monotonic()
            await self._look(partial(look, connection), timeout_s=TOPOLOGY_TIMEOUT_S)

    async def _look(self, look: Callable[[], Awaitable[None]], *, timeout_s: float) -> None:
        with suppress(*CONNECTION_EXCEPTIONS, CallAborted, TimeoutError):  # the next use finds out what is wrong
            await self._calls.within(timeout_s, look)

    @property
    def _has_to_look(self) -> bool:
        return self._topology.has_to_be_looked_at or self._look_at_all_s is not None

    def _stop_looking(self) -> None:
        if self._looking is not None and self._looking is not asyncio.current_task():
            self._looking.cancel()
            self._looking = None

    async def _open_apart(self) -> AbstractConnection:
        """A connection that a dead queue may end."""
        return await aio_pika.connect(self._url, timeout=self._timeout_s, name=f"converto inspect {self._purpose}")

    async def _open(self) -> AbstractConnection:
        connection = await aio_pika.connect(
            self._url, timeout=self._timeout_s, heartbeat=HEARTBEAT_S, name=f"converto {self._purpose}"
        )
        tell_when_blocked(connection, self._refusals.blocked)
        log.info("broker.connected", purpose=self._purpose)
        return connection

    async def _close(self, connection: AbstractConnection) -> None:
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await connection.close()


def is_silence(error: BusUnavailable) -> bool:
    """Whether the queue in question may be why: it never answers, or the broker fails over it."""
    return isinstance(error.__cause__, TimeoutError | ConnectionInternalError)


def retrieve_exception(shared: asyncio.Task[T]) -> None:
    """Keep asyncio from warning about an exception that no caller waits for any more."""
    if not shared.cancelled():
        shared.exception()


class BackOff(Backoff):
    """The pauses between attempts to reach the broker."""

    def __init__(self) -> None:
        super().__init__(first_s=BACK_OFF_FIRST_S, longest_s=BACK_OFF_LONGEST_S)

    async def wait(self, event: str, error: BusUnavailable) -> None:
        """Pause; log `event` with the reason once per outage."""
        if self.failures == 0:
            log.warning(event, reason=error.detail)
        await self.pause()


async def get_one(channel: AbstractChannel, queue_name: str) -> AbstractIncomingMessage | None:
    """Take the first message of a queue, or None when it is empty; it stays unacknowledged on this channel."""
    queue = await channel.get_queue(queue_name, ensure=False)
    return await queue.get(fail=False)


async def loss_of(channel: AbstractChannel) -> asyncio.Future[None]:
    """A future that is done when either side closes the channel, or the broker cancels a consumer on it."""
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_lost(*_: object) -> None:
        if not lost.done():
            lost.set_result(None)

    channel.close_callbacks.add(set_lost)
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(set_lost)
    return lost


async def end_task(running: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended."""
    running.cancel()
    await asyncio.wait((running,))
