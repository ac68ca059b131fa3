"""How one worker slot takes wake-ups from RabbitMQ, and how it settles them. It knows nothing of conversions."""

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import ConversionCreated, UnreadableEvent, decode, queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.connection import TOPOLOGY_TIMEOUT_S, BackOff, Link, get_one, loss_of
from converto_infra.rabbitmq.empty_queues import BURST_LOOK_S, EmptyQueues

log = structlog.get_logger(__name__)

# An idle slot opens a new channel and looks again this often: when a queue is deleted and declared anew just while a
# slot begins to consume, the broker confirms the consumer but hands its messages to nobody (seen with RabbitMQ 3.10).
IDLE_LOOK_S = 10


class RabbitSlot:
    """`Consumer`: pulls lane by lane while there is a backlog, and is pushed to while there is none.

    With several queues on one channel each consumer would be handed a message, and all but one would have to go back,
    which counts towards the delivery limit. `basic.get` keeps strict lanes and takes exactly one.
    """

    def __init__(
        self, link: Link, families: Sequence[Family], orders: Sequence[Sequence[Lane]], lull: EmptyQueues | None = None
    ) -> None:
        self._link, self._families, self._orders = link, deque(families), deque(orders)
        self._lull = lull or EmptyQueues()
        self._channel: AbstractChannel | None = None
        self._lost = asyncio.Event()
        self._held: RabbitDelivery | None = None
        self._unwinding: asyncio.Task[None] | None = None

    async def next(self) -> "RabbitDelivery":
        """Wait for the next wake-up, high lane first; one that was left unsettled goes back before."""
        await self._give_back()
        pause = BackOff()
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
        self._orders.rotate(-1)
        names = [queue_name(family, lane) for lane in self._orders[0] for family in self._families]
        channel = await self._open_channel()
        message = await self._ask(channel, self._lull.worth_asking(names))
        while message is None and self._lull.in_burst(names):
            await asyncio.sleep(BURST_LOOK_S)
            message = await self._ask(channel, self._lull.next_in_burst(names))
        return message or await self._wait_for_delivery(channel, names)

    async def _ask(self, channel: AbstractChannel, names: Sequence[str]) -> AbstractIncomingMessage | None:
        """The first message that any of the queues has, in their order."""
        for name in names:
            message = await self._link.run(functools.partial(get_one, channel, name))
            if message is not None:
                self._lull.saw_message(name)
                return message
            self._lull.saw_empty(name)
        return None

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

    async def _read(self, message: AbstractIncomingMessage) -> "RabbitDelivery | None":
        """The wake-up in a message; what cannot be read is parked and never seen again here."""
        try:
            event = decode(message.body)
            if isinstance(event, ConversionCreated):
                return RabbitDelivery(self._link, message, event)
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
        self._lost = await loss_of(channel)
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


class RabbitDelivery:
    """`Delivery`: the first settlement counts. One that comes after the channel died is fine: the database decides."""

    def __init__(self, link: Link, message: AbstractIncomingMessage, event: ConversionCreated) -> None:
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


async def _first_of(*signs: asyncio.Event) -> None:
    """Wait until one of the events is set, at most `IDLE_LOOK_S`."""
    waiting = [asyncio.create_task(sign.wait()) for sign in signs]
    try:
        await asyncio.wait(waiting, timeout=IDLE_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
