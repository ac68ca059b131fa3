"""The event bus on RabbitMQ (3.10 to 4.x, Amazon MQ); the only file that imports aio-pika.

It uses plain connections and its own back-off with jitter: whatever breaks, the next call opens connection, channel and
topology anew. It decides nothing about conversions: a wake-up that gets lost here is sent again by the outbox.
"""

import asyncio
import functools
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError

from converto_core.conversion import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import (
    DEAD_EXCHANGE,
    EVENTS_EXCHANGE,
    FACT_KEYS,
    PARKED_QUEUE,
    ConversionCreated,
    ConversionFact,
    UnreadableEvent,
    decode,
    encode,
    queue_name,
)
from converto_core.formats import Family
from converto_infra.resilience import broker_guard, is_being_cancelled
from converto_infra.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

HEARTBEAT_S = 15
DELIVERY_LIMIT = 20  # then a wake-up is parked; the outbox sends a new one if the conversion still waits
TOPOLOGY_TIMEOUT_S = 10  # the first declaration makes 25 replicated queues
# An idle slot opens a new channel and looks again this often: when a queue is deleted and declared anew just while a
# slot begins to consume, the broker confirms the consumer but hands its messages to nobody (seen with RabbitMQ 3.10).
IDLE_LOOK_S = 10
FACTS_KEPT = 1000  # a reader that is further behind than this is served better by the record itself
BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S = 0.1, 2.0
TAKEN_LANES = (Lane.HIGH, Lane.NORMAL, Lane.BULK)


class RabbitEventBus:
    """`EventBus` with one connection for publishing and one for consuming.

    Two, because a broker under memory or disk alarm stops reading from connections that publish, and a worker must be
    able to take and acknowledge work all the same.
    """

    def __init__(self, settings: Settings) -> None:
        self.guard = broker_guard(settings)
        self._deadline_s = settings.rabbitmq_timeout_s + 1  # the link's own deadline comes first: it mends the link
        topology = _Topology()
        self._publishing = _Link(settings, topology, purpose="publish")
        self._consuming = _Link(settings, topology, purpose="consume")
        self._wakeups = _Outlet(self._publishing, is_confirmed=True)
        self._facts = _FactSender(_Outlet(self._publishing, is_confirmed=False))

    @classmethod
    def connect(cls, settings: Settings) -> "RabbitEventBus":
        """Make the bus; connections are opened when they are first needed and again after the broker was away."""
        return cls(settings)

    async def close(self) -> None:
        """End the connections; unsettled wake-ups go back to their queues."""
        await self._facts.close()
        await self._publishing.close()
        await self._consuming.close()

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers."""
        await self.guard.run(self._wakeups.ping, timeout_s=self._deadline_s)

    async def publish(self, event: ConversionCreated) -> None:
        """Publish a wake-up and wait for the confirmation; raises `BusUnavailable` also when no queue takes it."""
        message = aio_pika.Message(
            encode(event),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.message_id,
            headers={} if event.trace is None else {"traceparent": event.trace},
        )
        await self.guard.run(lambda: self._wakeups.send(message, event.routing_key), timeout_s=self._deadline_s)

    async def announce(self, event: ConversionFact) -> None:
        """Hand a fact to the sender and go on; never raises, never waits for the broker."""
        self._facts.put(event)

    @asynccontextmanager
    async def open_slot(self, families: Sequence[Family], *, quarantine: bool = False) -> AsyncIterator["RabbitSlot"]:
        """One slot's view of the queues, on a channel of its own."""
        slot = RabbitSlot(self._consuming, families, (*TAKEN_LANES, Lane.QUARANTINE) if quarantine else TAKEN_LANES)
        try:
            yield slot
        finally:
            await slot.close()

    @asynccontextmanager
    async def facts(self) -> AsyncIterator[AsyncIterator[ConversionFact]]:
        """All facts from now on; goes on by itself after the broker was away."""
        reader = _FactReader(self._consuming)
        reading = asyncio.create_task(reader.run())
        try:
            await reader.wait_until_bound()
            yield reader
        finally:
            await _end(reading)


class _Topology:
    """Exchanges, queues and bindings; declared anew on each connection, and whenever something proved to be missing."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._is_declared = False

    def forget(self) -> None:
        """Something is missing: declare all of it before the next use."""
        self._is_declared = False

    async def ensure(self, connection: AbstractConnection) -> None:
        async with self._lock:
            if self._is_declared:
                return
            channel = await connection.channel()
            try:
                await self._declare(channel)
            finally:
                await channel.close()
            self._is_declared = True

    async def _declare(self, channel: AbstractChannel) -> None:
        events = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        parked = await channel.declare_queue(PARKED_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
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


class _Link:
    """One connection, opened when it is first needed and again after it was lost."""

    def __init__(self, settings: Settings, topology: _Topology, *, purpose: str) -> None:
        self._url, self._timeout_s = settings.rabbitmq_url.get_secret_value(), settings.rabbitmq_timeout_s
        self._topology, self._purpose = topology, purpose
        self._lock = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.generation = 0

    async def run(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Await one exchange with the broker under a deadline; whatever goes wrong is raised as `BusUnavailable`.

        A missed deadline also ends the connection: behind a silent network it would look alive for three heartbeats.
        """
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await call()
        except TimeoutError as error:
            self.discard()
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

    async def channel(self, *, is_confirmed: bool = False) -> AbstractChannel:
        """A new channel on a live connection."""
        connection = await self.connected()
        return await connection.channel(publisher_confirms=is_confirmed, on_return_raises=is_confirmed)

    async def connected(self) -> AbstractConnection:
        """The live connection, with the topology declared on it."""
        async with self._lock:
            if self._connection is None or not self._connection.connected.is_set():
                self.discard()
                self._topology.forget()
                self._connection = await self._open()
            await self._topology.ensure(self._connection)
            return self._connection

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
        self.discard()
        await asyncio.gather(*self._closing)

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


class _Outlet:
    """One channel that publishes to the exchange of events."""

    def __init__(self, link: _Link, *, is_confirmed: bool) -> None:
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


class _FactSender:
    """Sends facts in the background from a bounded buffer: the newest are worth most."""

    def __init__(self, outlet: _Outlet) -> None:
        self._outlet = outlet
        self._waiting: deque[ConversionFact] = deque(maxlen=FACTS_KEPT)
        self._sending: asyncio.Task[None] | None = None

    def put(self, event: ConversionFact) -> None:
        self._waiting.append(event)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        """Drop what has not left yet: facts are hints, the record is the truth."""
        if self._sending is not None:
            await _end(self._sending)

    async def _send_all(self) -> None:
        pause = _BackOff()
        while self._waiting:
            event = self._waiting.popleft()
            try:
                message = aio_pika.Message(encode(event), content_type="application/json")
                await self._outlet.send(message, event.routing_key)
                pause.reset()
            except BusUnavailable as error:
                await pause.wait("facts.not_sent", error)


class _FactReader:
    """An exclusive queue for this process, made anew after each loss, and a bounded buffer in front of the reader."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._kept: deque[ConversionFact] = deque(maxlen=FACTS_KEPT)
        self._arrived, self._is_bound = asyncio.Event(), asyncio.Event()
        self._channel: AbstractChannel | None = None

    async def run(self) -> None:
        """Subscribe, wait for the loss of the channel, and again, until cancelled."""
        pause = _BackOff()
        while True:
            try:
                lost = await self._link.run(self._subscribe, timeout_s=TOPOLOGY_TIMEOUT_S)
                pause.reset()
                await lost.wait()
                await self._link.run(self._leave)
            except BusUnavailable as error:
                await pause.wait("facts.not_received", error)

    async def wait_until_bound(self) -> None:
        """Wait for the first subscription, but not longer than a live broker takes: live facts are no must."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_OFF_LONGEST_S):
                await self._is_bound.wait()

    def __aiter__(self) -> "_FactReader":
        return self

    async def __anext__(self) -> ConversionFact:
        while not self._kept:
            self._arrived.clear()
            await self._arrived.wait()
        return self._kept.popleft()

    async def _subscribe(self) -> asyncio.Event:
        channel = self._channel = await self._link.channel()
        lost = await _loss_of(channel)
        queue = await channel.declare_queue("", exclusive=True, auto_delete=True)
        for routing_key in FACT_KEYS:
            await queue.bind(EVENTS_EXCHANGE, routing_key)
        await queue.consume(self._keep, no_ack=True)
        self._is_bound.set()
        return lost

    async def _leave(self) -> None:
        """Close a channel whose queue was deleted; one that is closed already stays so."""
        if self._channel is not None and not self._channel.is_closed:
            await self._channel.close()

    async def _keep(self, message: AbstractIncomingMessage) -> None:
        try:
            event = decode(message.body)
        except UnreadableEvent as error:
            log.warning("fact.unreadable", reason=str(error))
            return
        if isinstance(event, ConversionFact):
            self._kept.append(event)
            self._arrived.set()


class RabbitSlot:
    """`WakeupSource`: pulls lane by lane while there is a backlog, and is pushed to while there is none.

    With several queues on one channel each consumer would be handed a message, and all but one would have to go back,
    which counts towards the delivery limit. `basic.get` keeps strict lanes and takes exactly one.
    """

    def __init__(self, link: _Link, families: Sequence[Family], lanes: Sequence[Lane]) -> None:
        self._link, self._families, self._lanes = link, deque(families), lanes
        self._channel: AbstractChannel | None = None
        self._lost = asyncio.Event()
        self._held: RabbitWakeup | None = None
        self._unwinding: asyncio.Task[None] | None = None

    async def next(self) -> "RabbitWakeup":
        """Wait for the next wake-up, high lane first; one that was left unsettled goes back before."""
        await self._give_back()
        pause = _BackOff()
        while True:
            try:
                message = await self._take()
            except BusUnavailable as error:
                await self._drop_channel()
                await pause.wait("slot.waits_for_broker", error)
                continue
            pause.reset()
            wakeup = await self._read(message) if message is not None else None
            if wakeup is not None:
                self._held = wakeup
                return wakeup

    async def close(self) -> None:
        """Give back what is unsettled and end the channel."""
        await self._give_back()
        await self._drop_channel()

    async def _take(self) -> AbstractIncomingMessage | None:
        """One message, or None when it is time to look again."""
        await self._finish_unwinding()
        self._families.rotate(-1)  # within a lane the families take turns
        names = [queue_name(family, lane) for lane in self._lanes for family in self._families]
        channel = await self._open_channel()
        for name in names:
            message = await self._link.run(functools.partial(_get, channel, name))
            if message is not None:
                return message
        return await self._wait_for_delivery(channel, names)

    async def _wait_for_delivery(
        self, channel: AbstractChannel, names: Sequence[str]
    ) -> AbstractIncomingMessage | None:
        """Listen to all queues at once until one delivers; what others deliver meanwhile goes back."""
        bell = _Bell()
        consumers: dict[str, AbstractQueue] = {}
        is_wanted = False
        try:
            for name in names:
                queue = await channel.get_queue(name, ensure=False)
                consumers[await self._link.run(functools.partial(queue.consume, bell.on_message))] = queue
                if bell.rung.is_set():
                    break
            await _first_of(self._lost, bell.rung)
            is_wanted = True
        finally:
            message = bell.take()
            self._unwind(consumers, message if is_wanted else None)
        if message is None and self._lost.is_set():
            self._link.forget_topology()  # a deleted queue ends its consumers too
            raise BusUnavailable(detail="broker: the channel or a queue is gone")
        return message

    def _unwind(self, consumers: dict[str, AbstractQueue], first: AbstractIncomingMessage | None) -> None:
        """Stop listening, beside the conversion, which need not wait for it.

        The channel stays only if a message on it is ours; otherwise closing it ends all consumers at once, gives back
        what the cancelled caller did not take, and forgets whatever the broker had mixed up.
        """
        if first is None:
            channel, self._channel = self._channel, None
            self._unwinding = asyncio.create_task(self._close(channel))
        else:
            self._unwinding = asyncio.create_task(self._stop_listening(consumers, first.consumer_tag))

    async def _stop_listening(self, consumers: dict[str, AbstractQueue], delivered: str | None) -> None:
        """Cancel the consumers, the one that delivered first, before it is handed the next message."""
        for tag in sorted(consumers, key=lambda tag: tag != delivered):
            await self._link.run(functools.partial(consumers[tag].cancel, tag))

    async def _finish_unwinding(self) -> None:
        unwinding, self._unwinding = self._unwinding, None
        if unwinding is not None:
            await unwinding

    async def _read(self, message: AbstractIncomingMessage) -> "RabbitWakeup | None":
        """The wake-up in a message; what cannot be read is parked and never seen again here."""
        try:
            event = decode(message.body)
            if isinstance(event, ConversionCreated):
                return RabbitWakeup(self._link, message, event)
            reason = "not a wake-up"
        except UnreadableEvent as error:
            reason = str(error)
        await self._park(message, reason)
        return None

    async def _park(self, message: AbstractIncomingMessage, reason: str) -> None:
        log.error("wakeup.parked", reason=reason, message_id=message.message_id)
        with suppress(BusUnavailable):
            await self._link.run(lambda: message.reject(requeue=False))

    async def _open_channel(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._link.run(self._new_channel, timeout_s=TOPOLOGY_TIMEOUT_S)
        return self._channel

    async def _new_channel(self) -> AbstractChannel:
        channel = await self._link.channel()
        await channel.set_qos(prefetch_count=1)
        self._lost = await _loss_of(channel)
        return channel

    async def _give_back(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await held.release()

    async def _drop_channel(self) -> None:
        channel, self._channel = self._channel, None
        with suppress(BusUnavailable):
            await self._finish_unwinding()  # not cancelled: that would break off a call in the middle of its channel
        await self._close(channel)

    async def _close(self, channel: AbstractChannel | None) -> None:
        if channel is not None and not channel.is_closed:
            with suppress(BusUnavailable):
                await self._link.run(channel.close)


class _Bell:
    """Keeps the first message that any consumer is handed and sends all others back."""

    def __init__(self) -> None:
        self._first: AbstractIncomingMessage | None = None
        self._is_answered = False
        self.rung = asyncio.Event()

    def take(self) -> AbstractIncomingMessage | None:
        """The first message; later ones go back."""
        self._is_answered = True
        return self._first

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Keep or send back; it returns at once, because a callback is cancelled when its connection is lost."""
        if self._first is None and not self._is_answered:
            self._first = message
            self.rung.set()
            return
        with suppress(*CONNECTION_EXCEPTIONS):
            await message.nack(requeue=True)


class RabbitWakeup:
    """`Wakeup`: the first settlement counts. One that comes after the channel died is fine: the database decides."""

    def __init__(self, link: _Link, message: AbstractIncomingMessage, event: ConversionCreated) -> None:
        self._link, self._message, self._event, self._is_settled = link, message, event, False

    @property
    def event(self) -> ConversionCreated:
        """What was delivered."""
        return self._event

    async def accept(self) -> None:
        """Acknowledge."""
        await self._settle(self._message.ack)

    async def release(self) -> None:
        """Give it back to the queue."""
        await self._settle(lambda: self._message.nack(requeue=True))

    async def _settle(self, settle: Callable[[], Awaitable[None]]) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        with suppress(BusUnavailable):
            await self._link.run(settle)


class _BackOff:
    """A pause that doubles, with full jitter, so that a fleet does not come back at one moment."""

    def __init__(self) -> None:
        self._ceiling_s = BACK_OFF_FIRST_S

    def reset(self) -> None:
        self._ceiling_s = BACK_OFF_FIRST_S

    async def wait(self, event: str, error: BusUnavailable) -> None:
        """Say once per outage why, then sleep."""
        if self._ceiling_s == BACK_OFF_FIRST_S:
            log.warning(event, reason=error.detail)
        await asyncio.sleep(random.uniform(0, self._ceiling_s))  # noqa: S311 - jitter, not a secret
        self._ceiling_s = min(self._ceiling_s * 2, BACK_OFF_LONGEST_S)


async def _get(channel: AbstractChannel, name: str) -> AbstractIncomingMessage | None:
    queue = await channel.get_queue(name, ensure=False)
    return await queue.get(fail=False)


async def _loss_of(channel: AbstractChannel) -> asyncio.Event:
    """An event that is set when the channel is closed by anyone, or the broker ends a consumer on it."""
    lost = asyncio.Event()
    channel.close_callbacks.add(lambda *_: lost.set())
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _frame: lost.set())
    return lost


async def _first_of(*signs: asyncio.Event) -> None:
    """Wait until one of the events is set, at most `IDLE_LOOK_S`."""
    waiting = [asyncio.create_task(sign.wait()) for sign in signs]
    try:
        await asyncio.wait(waiting, timeout=IDLE_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


async def _end(running: asyncio.Task[None]) -> None:
    """Cancel a task of ours and wait until it is gone."""
    running.cancel()
    await asyncio.wait((running,))
