"""One connection to RabbitMQ: opening, topology, deadlines, loss. What travels over it is other files' business.

Plain connections and our own back-off instead of the driver's robust ones: whatever breaks, the next call opens
connection, channel and topology anew, and a fleet does not come back at one moment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, queue_name
from converto_core.formats import Family
from converto_infra.resilience import is_being_cancelled
from converto_infra.retry import Backoff
from converto_infra.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

HEARTBEAT_S = 15
DELIVERY_LIMIT = 20  # then a wake-up is parked; the outbox sends a new one if the conversion still waits
TOPOLOGY_TIMEOUT_S = 10  # the first declaration makes 25 replicated queues
BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S = 0.1, 2.0


class Topology:
    """Exchanges, queues and bindings; declared anew on each connection, and whenever something proved to be missing."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.is_declared = False

    def forget(self) -> None:
        """Something is missing: declare all of it before the next use."""
        self.is_declared = False

    async def ensure(self, connection: AbstractConnection) -> None:
        """Declare what is not known to be there."""
        async with self._lock:
            if self.is_declared:
                return
            channel = await connection.channel()
            try:
                await self._declare(channel)
            finally:
                await channel.close()
            self.is_declared = True

    async def _declare(self, channel: AbstractChannel) -> None:
        events = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        parked = await channel.declare_queue(DEAD_LETTER_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await parked.bind(dead, "#")
        for family in Family:
            for lane in Lane:
                await self._declare_queue(channel, events, family, lane)

    async def _declare_queue(
        self, channel: AbstractChannel, events: AbstractExchange, family: Family, lane: Lane
    ) -> None:
        queue = await channel.declare_queue(
            queue_name(family, lane),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_EXCHANGE,
            },
        )
        await queue.bind(events, f"conversion_created.{lane}.{family}")


class Link:
    """One connection, opened when it is first needed and again after it was lost."""

    def __init__(self, settings: Settings, topology: Topology, *, purpose: str) -> None:
        self._url, self._timeout_s = settings.rabbitmq_url.get_secret_value(), settings.rabbitmq_timeout_s
        self._topology, self._purpose = topology, purpose
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[AbstractConnection] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.generation = 0

    async def run(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Await one exchange with the broker under a deadline; whatever goes wrong is raised as `BusUnavailable`.

        A missed deadline also ends the connection: behind a silent network it would look alive for three heartbeats.
        """
        was_being_cancelled = is_being_cancelled()
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                result = await call()
        except TimeoutError as error:
            self._give_up()
            raise BusUnavailable(detail=f"broker: no answer to {self._purpose} in time") from error
        except asyncio.CancelledError as error:
            # aiormq cancels the waiters of a dead connection; nobody asked this task to stop.
            if is_being_cancelled():
                raise
            self.discard()
            raise BusUnavailable(detail="broker: the connection was lost") from error
        except CONNECTION_EXCEPTIONS as error:
            self.forget_topology()
            raise BusUnavailable(detail=f"broker: {error!r}") from error
        if is_being_cancelled() and not was_being_cancelled:
            # The driver loses a cancellation that arrives together with its answer (asyncio.wait_for before 3.12).
            raise asyncio.CancelledError
        return result

    async def channel(self, *, is_confirmed: bool = False) -> AbstractChannel:
        """A new channel on a live connection."""
        connection = await self.connected()
        return await connection.channel(publisher_confirms=is_confirmed, on_return_raises=is_confirmed)

    async def connected(self) -> AbstractConnection:
        """The live connection, with the topology declared on it.

        Connecting has a task and a deadline of its own: a slow broker needs longer than one caller waits, and would
        otherwise never be done with it.
        """
        if self._connecting is None or self._connecting.done():
            if self._connection is not None and self._is_ready(self._connection):
                return self._connection
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_hear)
        return await asyncio.shield(self._connecting)

    def forget_topology(self) -> None:
        """Declare everything again before the next use: something was missing."""
        self._topology.forget()

    def discard(self) -> None:
        """Give the connection up; the next call opens a new one."""
        connection, self._connection = self._connection, None
        self.generation += 1
        if connection is not None:
            closing = asyncio.create_task(self._close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End the connection in good order."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        self.discard()
        await asyncio.gather(*self._closing)

    def _give_up(self) -> None:
        """Whoever missed its deadline behind a connection has shown it dead; one that is being made is not judged."""
        if self._connecting is None or self._connecting.done():
            self.discard()

    def _is_ready(self, connection: AbstractConnection) -> bool:
        return connection.connected.is_set() and self._topology.is_declared

    async def _connect(self) -> AbstractConnection:
        try:
            async with asyncio.timeout(self._timeout_s + TOPOLOGY_TIMEOUT_S):
                if self._connection is None or not self._connection.connected.is_set():
                    self.discard()
                    self._topology.forget()
                    self._connection = await self._open()
                await self._topology.ensure(self._connection)
                return self._connection
        except TimeoutError:
            self.discard()
            raise

    async def _open(self) -> AbstractConnection:
        connection = await aio_pika.connect(
            self._url, timeout=self._timeout_s, heartbeat=HEARTBEAT_S, name=f"converto {self._purpose}"
        )
        log.info("broker.connected", purpose=self._purpose)
        return connection

    async def _close(self, connection: AbstractConnection) -> None:
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await connection.close()


def _hear(connecting: asyncio.Task[AbstractConnection]) -> None:
    """Look at how it ended, also when nobody waits for it any more."""
    if not connecting.cancelled():
        connecting.exception()


class Outlet:
    """One channel that publishes to the exchange of events."""

    def __init__(self, link: Link, *, is_confirmed: bool) -> None:
        self._link, self._is_confirmed = link, is_confirmed
        self._lock = asyncio.Lock()
        self._channel: AbstractChannel | None = None
        self._generation = 0

    async def send(self, message: aio_pika.Message, routing_key: str) -> None:
        """Publish; with confirmations, return when the broker has stored it and raise when no queue takes it."""
        await self._link.run(lambda: self._send(message, routing_key))

    async def ping(self) -> None:
        """Ask the broker for the exchange: one round trip on the connection that publishes."""

        async def call() -> None:
            channel = await self._open_channel()
            await channel.get_exchange(EVENTS_EXCHANGE, ensure=True)

        await self._link.run(call)

    async def count(self, queue: str) -> int:
        """How many messages of a queue nobody was handed yet; on a channel of its own, which a missing queue ends."""

        async def call() -> int:
            channel = await self._link.channel()
            try:
                found = await channel.declare_queue(queue, passive=True)
            finally:
                if not channel.is_closed:
                    await channel.close()
            return found.declaration_result.message_count or 0

        return await self._link.run(call)

    async def _send(self, message: aio_pika.Message, routing_key: str) -> None:
        channel = await self._open_channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        try:
            await exchange.publish(message, routing_key, mandatory=self._is_confirmed)
        except PublishError as error:
            self._link.forget_topology()  # so that the next try finds its queue again
            log.error("wakeup.unroutable", routing_key=routing_key, message_id=message.message_id)
            raise BusUnavailable(detail=f"no queue takes {routing_key}") from error

    async def _open_channel(self) -> AbstractChannel:
        async with self._lock:
            await self._link.connected()
            if self._channel is None or self._channel.is_closed or self._generation != self._link.generation:
                self._channel = await self._link.channel(is_confirmed=self._is_confirmed)
                self._generation = self._link.generation
            return self._channel


class BackOff(Backoff):
    """The pauses between attempts to reach the broker."""

    def __init__(self) -> None:
        super().__init__(first_s=BACK_OFF_FIRST_S, longest_s=BACK_OFF_LONGEST_S)

    async def wait(self, event: str, error: BusUnavailable) -> None:
        """Log the reason once per outage, then pause."""
        if self.failures == 0:
            log.warning(event, reason=error.detail)
        await self.pause()


async def get_one(channel: AbstractChannel, queue_name: str) -> AbstractIncomingMessage | None:
    """The first message of a queue, or None when it is empty; it is ours until it is settled or the channel closes."""
    queue = await channel.get_queue(queue_name, ensure=False)
    return await queue.get(fail=False)


async def loss_of(channel: AbstractChannel) -> asyncio.Event:
    """An event that is set when the channel is closed by anyone, or the broker ends a consumer on it."""
    lost = asyncio.Event()
    channel.close_callbacks.add(lambda *_: lost.set())
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _frame: lost.set())
    return lost


async def end_task(running: asyncio.Task[None]) -> None:
    """Cancel a task of ours and wait until it is gone."""
    running.cancel()
    await asyncio.wait((running,))
