"""How a worker slot takes messages from RabbitMQ: `basic.get` while there is a backlog, consumers while there is none.

With a consumer on each of several queues, the broker delivers a message from each. All but one must be returned, and
each return counts towards the delivery limit. `basic.get` respects the priority of lanes and takes exactly one message,
but polling with it costs an idle broker ten times the CPU of consumers.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.connection import BackOff, Connection, get_one, loss_of
from converto_infra.rabbitmq.delivery import RabbitDelivery, read_delivery
from converto_infra.rabbitmq.empty_queues import BURST_LOOK_S, EmptyQueues
from converto_infra.rabbitmq.topology import TOPOLOGY_TIMEOUT_S

# An idle slot opens a new channel and starts over this often: when a queue is deleted and declared again just while a
# slot begins to consume, the broker confirms the consumer but never delivers to it (seen with RabbitMQ 3.10).
MAX_CONSUME_S = 10


class RabbitSlot:
    """`Consumer` on a channel of its own."""

    def __init__(
        self,
        connection: Connection,
        families: Sequence[Family],
        orders: Sequence[Sequence[Lane]],
        empty_queues: EmptyQueues,
    ) -> None:
        self._connection, self._families, self._orders = connection, deque(families), deque(orders)
        self._empty_queues = empty_queues
        self._channel: AbstractChannel | None = None
        self._lost: asyncio.Future[None]
        self._held: RabbitDelivery | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def next(self) -> RabbitDelivery:
        """Wait for the next message, high lane first; an unsettled one is released before."""
        await self._release_held()
        back_off = BackOff()
        while True:
            try:
                message = await self._take()
            except BusUnavailable as error:
                await self._close_channel()
                await back_off.wait("slot.waits_for_broker", error)
                continue
            back_off.reset()
            self._held = None if message is None else await read_delivery(self._connection, message)
            if self._held is not None:
                return self._held

    async def close(self) -> None:
        """Release an unsettled message and close the channel."""
        await self._release_held()
        await self._close_channel()

    async def _take(self) -> AbstractIncomingMessage | None:
        """One message, or None when it is time to start over."""
        await self._finish_stopping()
        self._families.rotate(-1)  # within a lane the families take turns
        self._orders.rotate(-1)
        channel = await self._open_channel()  # before the names, because it finds out which queues are usable
        names = [queue_name(family, lane) for lane in self._orders[0] for family in self._families]
        names = [name for name in names if self._connection.is_usable(name)]
        message = await self._get_from(channel, self._empty_queues.worth_asking(names))
        while message is None and self._empty_queues.in_burst(names):
            await asyncio.sleep(BURST_LOOK_S)
            message = await self._get_from(channel, self._empty_queues.next_in_burst(names))
        return message or await self._consume_from(channel, names)

    async def _get_from(self, channel: AbstractChannel, names: Sequence[str]) -> AbstractIncomingMessage | None:
        """The first message of the first queue that has one."""
        for name in names:
            message = await self._connection.ask(name, partial(get_one, channel, name))
            if message is not None:
                self._empty_queues.saw_message(name)
                return message
            self._empty_queues.saw_empty(name)
        return None

    async def _consume_from(self, channel: AbstractChannel, names: Sequence[str]) -> AbstractIncomingMessage | None:
        """Consume from all queues until one delivers; messages that others deliver meanwhile go back."""
        first: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
        on_message = partial(_keep_first, first)
        consumers: dict[str, AbstractQueue] = {}
        message = None
        try:
            for name in names:
                queue = await channel.get_queue(name, ensure=False)
                consumers[await self._connection.ask(name, partial(queue.consume, on_message))] = queue
                if first.done():
                    break
            await asyncio.wait((first, self._lost), timeout=MAX_CONSUME_S, return_when=asyncio.FIRST_COMPLETED)
            message = first.result() if first.done() else None
        finally:
            first.cancel()  # from now on, deliveries go back
            self._stop_consuming(consumers, message)
        if message is None and self._lost.done():
            self._connection.forget_topology()  # deleting a queue ends its consumers too
            raise BusUnavailable(detail="broker: the channel or a queue is gone")
        return message

    def _stop_consuming(self, consumers: dict[str, AbstractQueue], message: AbstractIncomingMessage | None) -> None:
        """Stop in the background, so that the conversion need not wait.

        Only a message keeps the channel open. Without one, closing the channel ends all consumers at once, returns what
        a cancelled caller did not take, and clears whatever state the broker has mixed up.
        """
        if message is None:
            channel, self._channel = self._channel, None
            self._stopping = asyncio.create_task(self._close(channel))
        else:
            self._stopping = asyncio.create_task(self._cancel_consumers(consumers, message.consumer_tag))

    async def _cancel_consumers(self, consumers: dict[str, AbstractQueue], delivered: str | None) -> None:
        """Cancel the consumer that delivered first, before it gets the next message, then the others."""
        for tag in sorted(consumers, key=lambda tag: tag != delivered):
            await self._connection.run(partial(consumers[tag].cancel, tag))

    async def _finish_stopping(self) -> None:
        stopping, self._stopping = self._stopping, None
        if stopping is not None:
            await stopping

    async def _open_channel(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.run(self._new_channel, timeout_s=TOPOLOGY_TIMEOUT_S)
        return self._channel

    async def _new_channel(self) -> AbstractChannel:
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=1)
        self._lost = await loss_of(channel)
        return channel

    async def _release_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await held.release()

    async def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        with suppress(BusUnavailable):
            await self._finish_stopping()  # not cancelled: that would interrupt a call on its channel
        await self._close(channel)

    async def _close(self, channel: AbstractChannel | None) -> None:
        if channel is not None and not channel.is_closed:
            with suppress(BusUnavailable):
                await self._connection.run(channel.close)


async def _keep_first(first: asyncio.Future[AbstractIncomingMessage], message: AbstractIncomingMessage) -> None:
    """Keep the first message and return the others; short, because losing the connection cancels a callback."""
    if not first.done():
        first.set_result(message)
        return
    with suppress(*CONNECTION_EXCEPTIONS):
        await message.nack(requeue=True)
