"""Queues that do not answer although the broker does: left out, inspected, and made anew.

A quorum queue whose process is gone, or has no leader, is still declared without an error. Whoever asks it for a
message waits for ever or loses the whole connection, and what is published to it is never confirmed. RabbitMQ 3.10 has
such queues when it was killed just after their declaration.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

import msgspec
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed
from aiormq.exceptions import ConnectionInternalError

from converto_core.errors import BusUnavailable

DEAD_AFTER_S = 10.0  # a queue that a node is just starting may look dead for a moment
SILENT_AFTER_S = 30.0  # while the replicas of a queue elect a leader, it is silent, too
PATIENT_TIMEOUT_S = 10.0  # the last look before a queue is made anew, also on a busy machine
DELETE_TIMEOUT_S = 30.0  # the broker itself tries for five seconds to reach the majority
CLOSE_TIMEOUT_S = 1.0
RETRY_AFTER_S = 5.0

RESTART = "Restart RabbitMQ; if that does not help, delete the queue with the messages in it, and it is created again"

Open = Callable[[], Awaitable[AbstractConnection]]

log = structlog.get_logger(__name__)


class Answer(Enum):
    """What a queue says when it is asked for a message."""

    GIVEN = auto()  # also a refusal, or that there is no such queue
    NONE = auto()
    DEAD = auto()  # the broker says that the queue has no process


class Silence(msgspec.Struct, frozen=True):
    """A queue that was inspected and did not answer, since when (monotonic seconds)."""

    answer: Answer
    since_s: float


class SilentQueues:
    """Left out at the first sign, and inspected on connections of their own, because a dead queue ends them."""

    def __init__(
        self, *, timeout_s: float, kept: Collection[str] = (), monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """A queue that takes longer than `timeout_s` to answer is silent. Those of `kept` are never made anew."""
        self._timeout_s, self._kept, self._monotonic = timeout_s, kept, monotonic
        self._uninspected: set[str] = set()
        self._silent: dict[str, Silence] = {}
        self._is_inspecting = False

    def leave_out(self, queue: str) -> None:
        """Leave out a queue until it has been inspected."""
        if queue not in self._silent:
            self._uninspected.add(queue)

    def is_left_out(self, queue: str) -> bool:
        """Whether to do without the queue for now."""
        return queue in self._uninspected or queue in self._silent

    @property
    def is_empty(self) -> bool:
        """False when there is something to inspect."""
        return not self._uninspected and not self._silent

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with inspected queues, and what to do."""
        return tuple(self._text(queue, silence.answer) for queue, silence in self._silent.items())

    async def inspect(self, open_connection: Open) -> list[str]:
        """Ask each of these queues for a message and return those that are used again, and have to be declared.

        A queue that stays silent is deleted with its messages; the outbox sends those again. Raises what
        `open_connection` raises.
        """
        if self._is_inspecting:
            return []
        self._is_inspecting = True
        try:
            return [queue for queue in self._all() if await self._is_used_again(queue, open_connection)]
        finally:
            self._is_inspecting = False

    def _all(self) -> list[str]:
        return sorted({*self._uninspected, *self._silent})

    async def _is_used_again(self, queue: str, open_connection: Open) -> bool:
        answer = await answer_of(queue, open_connection, self._timeout_s)
        self._uninspected.discard(queue)
        if answer is not Answer.GIVEN and self._has_been_silent(queue, answer):
            answer = await answer_of(queue, open_connection, PATIENT_TIMEOUT_S)
            if answer is not Answer.GIVEN:
                await delete(queue, open_connection)
                log.warning("queue.made_anew", name=queue)
                answer = Answer.GIVEN
        if answer is Answer.GIVEN and self._silent.pop(queue, None) is not None:
            log.info("queue.answers", name=queue)
        return answer is Answer.GIVEN

    def _has_been_silent(self, queue: str, answer: Answer) -> bool:
        """Whether a queue has given this answer for so long that it is made anew."""
        now_s, known = self._monotonic(), self._silent.get(queue)
        if known is None or known.answer is not answer:
            known = self._silent[queue] = Silence(answer, now_s)
            log.error("queue.silent", name=queue, reason=self._text(queue, answer))
        longest_s = DEAD_AFTER_S if answer is Answer.DEAD else SILENT_AFTER_S
        return queue not in self._kept and now_s - known.since_s >= longest_s

    def _text(self, queue: str, answer: Answer) -> str:
        what = "has no process on the broker" if answer is Answer.DEAD else "does not answer, while the broker does"
        next_step = RESTART if queue in self._kept else "If that stays so, it is made anew within two minutes"
        return f"queue {queue} {what}; it is not used. {next_step}"


async def answer_of(queue: str, open_connection: Open, timeout_s: float) -> Answer:
    """Ask a queue for a message, which goes back when the connection closes."""
    async with _connected(open_connection) as connection:
        try:
            async with asyncio.timeout(timeout_s):
                channel = await connection.channel()
                await (await channel.get_queue(queue, ensure=False)).get(fail=False)
        except ConnectionInternalError:
            return Answer.DEAD
        except ChannelClosed:
            return Answer.GIVEN
        except TimeoutError:
            return Answer.NONE
        return Answer.GIVEN


async def delete(queue: str, open_connection: Open) -> None:
    """Delete a queue with what is in it."""
    async with _connected(open_connection) as connection, asyncio.timeout(DELETE_TIMEOUT_S):
        await (await connection.channel()).queue_delete(queue)


def silence_of(queue: str) -> BusUnavailable:
    """The error for a queue that is left out; it says nothing about the broker."""
    error = BusUnavailable(detail=f"broker: queue {queue} does not answer")
    error.has_answered, error.retry_after_s = True, RETRY_AFTER_S
    return error


@asynccontextmanager
async def _connected(open_connection: Open) -> AsyncIterator[AbstractConnection]:
    """A connection of its own, which the queue in question may end."""
    connection = await open_connection()
    try:
        yield connection
    finally:
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.close()
