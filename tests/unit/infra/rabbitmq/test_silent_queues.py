"""A queue that does not answer is left out, and a dead one is made anew (C4)."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ConnectionInternalError

from converto_core.events import DEAD_LETTER_QUEUE
from converto_infra.rabbitmq import silent_queues
from converto_infra.rabbitmq.silent_queues import DEAD_AFTER_S, SILENT_AFTER_S, SilentQueues

QUEUE, OTHER = "conversions.office.normal", "conversions.image.normal"
DEAD = ConnectionInternalError("INTERNAL_ERROR - Cannot get a message from queue: noproc")


class FakeBroker:
    """Opens connections whose queues answer, fail with an error, or never answer (None)."""

    def __init__(self) -> None:
        self.answers: dict[str, Exception | None] = {}
        self.asked: list[str] = []
        self.deleted: list[str] = []
        self.open = 0
        self.on_asked: Callable[[], None] = lambda: None

    async def connect(self) -> AbstractConnection:
        self.open += 1
        return cast("AbstractConnection", FakeConnection(self))


class FakeConnection:
    """A connection, its only channel, and the queue that was asked for on it."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker, self._queue = broker, ""

    async def channel(self) -> "FakeConnection":
        return self

    async def get_queue(self, name: str, *, ensure: bool) -> "FakeConnection":
        assert not ensure
        self._queue = name
        return self

    async def get(self, *, fail: bool) -> None:
        assert not fail
        self._broker.asked.append(self._queue)
        answer = self._broker.answers.get(self._queue, LookupError())
        self._broker.on_asked()
        if answer is None:
            await asyncio.Event().wait()
        elif not isinstance(answer, LookupError):
            raise answer

    async def queue_delete(self, name: str) -> None:
        self._broker.deleted.append(name)

    async def close(self) -> None:
        self._broker.open -= 1


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_queues, "PATIENT_TIMEOUT_S", 0.02)


@pytest.fixture
def queues(clock: Clock) -> SilentQueues:
    return SilentQueues(timeout_s=0.01, kept={DEAD_LETTER_QUEUE}, monotonic=clock)


async def test_queue_in_doubt_is_left_out_until_it_answers(queues: SilentQueues, broker: FakeBroker) -> None:
    queues.leave_out(QUEUE)
    assert queues.is_left_out(QUEUE)
    assert not queues.is_left_out(OTHER)
    assert queues.faults == ()  # nothing is known yet

    assert await queues.inspect(broker.connect) == [QUEUE]

    assert not queues.is_left_out(QUEUE)
    assert queues.is_empty
    assert broker.open == 0


@pytest.mark.parametrize("answer", [ChannelNotFoundEntity("NOT_FOUND"), ChannelAccessRefused("ACCESS_REFUSED")])
async def test_queue_that_is_missing_or_refused_is_not_silent(
    queues: SilentQueues, broker: FakeBroker, answer: Exception
) -> None:
    """What is wrong with it is found by declaring it."""
    broker.answers[QUEUE] = answer
    queues.leave_out(QUEUE)

    assert await queues.inspect(broker.connect) == [QUEUE]
    assert queues.is_empty


@pytest.mark.parametrize(
    ("answer", "words", "after_s"),
    [(DEAD, "has no process", DEAD_AFTER_S), (None, "does not answer, while the broker does", SILENT_AFTER_S)],
)
async def test_queue_that_stays_silent_is_named_and_made_anew(
    queues: SilentQueues, broker: FakeBroker, clock: Clock, answer: Exception | None, words: str, after_s: float
) -> None:
    broker.answers[QUEUE] = answer
    queues.leave_out(QUEUE)

    assert await queues.inspect(broker.connect) == []
    (fault,) = queues.faults
    assert fault.startswith(f"queue {QUEUE} {words}")
    clock.now_s = after_s - 0.1
    assert await queues.inspect(broker.connect) == []
    assert broker.deleted == []

    clock.now_s = after_s
    assert await queues.inspect(broker.connect) == [QUEUE]
    assert broker.deleted == [QUEUE]
    assert queues.is_empty
    assert broker.open == 0


async def test_queue_that_answers_the_last_look_is_kept(queues: SilentQueues, broker: FakeBroker, clock: Clock) -> None:
    """A busy broker needs longer than the ordinary deadline."""
    broker.answers[QUEUE] = None
    queues.leave_out(QUEUE)
    await queues.inspect(broker.connect)
    clock.now_s = SILENT_AFTER_S
    broker.on_asked = broker.answers.clear

    assert await queues.inspect(broker.connect) == [QUEUE]
    assert broker.deleted == []
    assert queues.faults == ()


async def test_time_of_silence_does_not_count_as_death(queues: SilentQueues, broker: FakeBroker, clock: Clock) -> None:
    broker.answers[QUEUE] = None
    queues.leave_out(QUEUE)
    await queues.inspect(broker.connect)
    broker.answers[QUEUE], clock.now_s = DEAD, SILENT_AFTER_S

    assert await queues.inspect(broker.connect) == []
    assert broker.deleted == []


async def test_dead_letters_are_never_deleted(queues: SilentQueues, broker: FakeBroker, clock: Clock) -> None:
    broker.answers[DEAD_LETTER_QUEUE] = DEAD
    queues.leave_out(DEAD_LETTER_QUEUE)

    for clock.now_s in (0.0, DEAD_AFTER_S, 3600.0):
        await queues.inspect(broker.connect)

    (fault,) = queues.faults
    assert "Restart RabbitMQ" in fault
    assert broker.deleted == []


async def test_one_silent_queue_hides_no_other(queues: SilentQueues, broker: FakeBroker) -> None:
    broker.answers[OTHER] = None  # comes first
    queues.leave_out(QUEUE)
    queues.leave_out(OTHER)

    assert await queues.inspect(broker.connect) == [QUEUE]
    assert queues.is_left_out(OTHER)


async def test_broker_that_is_away_says_nothing_about_its_queues(queues: SilentQueues) -> None:
    async def refuse() -> AbstractConnection:
        raise ConnectionRefusedError

    queues.leave_out(QUEUE)
    with pytest.raises(ConnectionRefusedError):
        await queues.inspect(refuse)

    assert queues.is_left_out(QUEUE)
    assert queues.faults == ()
