"""Each exchange and queue is declared apart; what is wrong with one is said in words that help (C4)."""

import asyncio
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelClosed, ChannelPreconditionFailed

from converto_core.conversion.record import Lane
from converto_core.events import EVENTS_EXCHANGE, queue_name
from converto_core.formats import Family
from converto_infra.rabbitmq.declarations import ExchangeDeclaration, QueueDeclaration, all_declarations, fault_text
from converto_infra.rabbitmq.topology import Topology

BAD = queue_name(Family.IMAGE, Lane.BULK)
QUEUE = QueueDeclaration(name=BAD, exchange=EVENTS_EXCHANGE, routing_key="conversion_created.bulk.image", arguments={})
NAMES = [declaration.name for declaration in all_declarations()]


class FakeBroker:
    """The connection and the channels of a broker that refuses, or never answers, what a test names."""

    def __init__(self) -> None:
        self.refused: dict[str, Exception] = {}
        self.missing: set[str] = set()
        self.silent: set[str] = set()
        self.declared: list[str] = []
        self.bound: list[str] = []

    async def channel(self) -> "FakeChannel":
        return FakeChannel(self)


class FakeChannel:
    """One channel, which a refusal closes."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker, self.is_closed = broker, False

    async def close(self) -> None:
        self.is_closed = True

    async def declare_exchange(self, name: str, *_: object, **__: object) -> None:
        await self._declare(name)

    async def declare_queue(self, name: str, *, passive: bool = False, **_: object) -> None:
        if not passive:
            await self._declare(name)
        elif name in self._broker.missing:
            self._refuse(ChannelClosed(404, "NOT_FOUND"))

    async def get_exchange(self, name: str, **_: object) -> None:
        """Every exchange exists."""

    async def get_queue(self, name: str, **_: object) -> "FakeQueue":
        return FakeQueue(self._broker, name)

    async def _declare(self, name: str) -> None:
        if self.is_closed:
            raise AssertionError("a closed channel was used")
        if name in self._broker.silent:
            await asyncio.Event().wait()
        if name in self._broker.refused:
            self._refuse(self._broker.refused[name])
        self._broker.declared.append(name)

    def _refuse(self, error: Exception) -> None:
        self.is_closed = True
        raise error


class FakeQueue:
    def __init__(self, broker: FakeBroker, name: str) -> None:
        self._broker, self._name = broker, name

    async def bind(self, *_: object) -> None:
        self._broker.bound.append(self._name)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def connection_to(broker: FakeBroker) -> AbstractConnection:
    return cast("AbstractConnection", broker)


def different(argument: str, wanted: str, found: str) -> ChannelPreconditionFailed:
    return ChannelPreconditionFailed(
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{BAD}' in vhost '/': "
        f"received {wanted} but current is {found}"
    )


async def test_refused_queue_leaves_all_others_declared(broker: FakeBroker) -> None:
    broker.refused[BAD] = different("x-queue-type", "'quorum'", "'classic'")
    topology = Topology()

    await topology.ensure(connection_to(broker))

    assert broker.declared == [name for name in NAMES if name != BAD]
    assert BAD in broker.bound
    assert topology.is_declared
    assert topology.is_usable(BAD)


async def test_queue_that_never_answers_costs_one_deadline(broker: FakeBroker) -> None:
    broker.silent.add(BAD)
    topology = Topology(declaration_timeout_s=0.01)

    await topology.ensure(connection_to(broker))

    assert len(broker.declared) == len(NAMES) - 1
    (fault,) = topology.faults
    assert "did not answer" in fault


async def test_repaired_queue_is_declared_at_the_next_look(broker: FakeBroker) -> None:
    broker.refused[BAD] = different("x-queue-type", "'quorum'", "'classic'")
    topology = Topology()
    await topology.ensure(connection_to(broker))
    broker.refused.clear()
    broker.declared.clear()

    await topology.look_again(connection_to(broker))

    assert broker.declared == [BAD]
    assert topology.faults == ()


async def test_look_at_all_finds_what_no_message_has_met(broker: FakeBroker) -> None:
    topology = Topology()
    await topology.ensure(connection_to(broker))
    broker.refused[BAD] = different("x-queue-type", "'quorum'", "'classic'")
    await topology.look_again(connection_to(broker))
    assert topology.faults == ()

    await topology.look_at_all(connection_to(broker))

    (fault,) = topology.faults
    assert fault.startswith(f"queue {BAD} exists with type classic")
    assert topology.is_declared


async def test_queue_that_may_not_be_used_is_left_out(broker: FakeBroker) -> None:
    broker.refused[BAD] = ChannelAccessRefused("ACCESS_REFUSED - access to queue refused")
    broker.missing.add(BAD)
    topology = Topology()

    await topology.ensure(connection_to(broker))

    assert not topology.is_usable(BAD)
    assert topology.is_usable(queue_name(Family.IMAGE, Lane.NORMAL))


async def test_stream_is_neither_used_nor_bound(broker: FakeBroker) -> None:
    """A worker that asks a stream for a message loses its connection, and what is published to a stream stays there."""
    broker.refused[BAD] = different("x-queue-type", "'quorum'", "'stream'")
    topology = Topology()

    await topology.ensure(connection_to(broker))

    assert not topology.is_usable(BAD)
    assert BAD not in broker.bound
    assert topology.faults == (
        f"queue {BAD} exists with type stream instead of quorum; it is not used. Delete it, and it is created again",
    )


async def test_unroutable_message_of_a_known_fault_declares_nothing(broker: FakeBroker) -> None:
    """Else every publish to a bad queue would make all others wait for some fifty calls."""
    broker.refused[BAD] = different("x-queue-type", "'quorum'", "'classic'")
    topology = Topology()
    await topology.ensure(connection_to(broker))

    topology.forget_route("conversion_created.bulk.image")
    assert topology.is_declared

    topology.forget_route("conversion_created.normal.image")
    assert not topology.is_declared


async def test_interrupted_declaration_goes_on_where_it_was(broker: FakeBroker) -> None:
    class Interrupted(FakeBroker):
        async def channel(self) -> Any:
            if self.declared:
                raise ConnectionError
            return await super().channel()

    interrupted, topology = Interrupted(), Topology()
    interrupted.refused[BAD] = different("x-queue-type", "'quorum'", "'classic'")
    with pytest.raises(ConnectionError):
        await topology.ensure(connection_to(interrupted))

    await topology.ensure(connection_to(broker))

    assert interrupted.declared + broker.declared == NAMES


@pytest.mark.parametrize(
    ("argument", "wanted", "found", "words"),
    [
        ("x-queue-type", "the value 'quorum' of type 'longstr'", "none", "type classic instead of quorum"),
        ("x-queue-type", "'quorum'", "'classic'", "type classic instead of quorum"),
        ("x-queue-type", "'quorum'", "'stream'", "type stream instead of quorum"),
        ("durable", "'true'", "'false'", "durable false instead of true"),
        ("x-delivery-limit", "the value '20' of type 'byte'", "none", "x-delivery-limit none instead of 20"),
    ],
)
def test_fault_names_the_argument_and_the_remedy(argument: str, wanted: str, found: str, words: str) -> None:
    text = fault_text(QUEUE, str(different(argument, wanted, found)), is_usable=True)

    assert text == f"queue {BAD} exists with {words}; it is used as it is. Delete it, and it is created again"


def test_fault_without_a_known_reason_repeats_the_broker() -> None:
    text = fault_text(ExchangeDeclaration(EVENTS_EXCHANGE), "ACCESS_REFUSED", is_usable=False)

    assert text == (
        "exchange converto.events cannot be declared: ACCESS_REFUSED; it is not used until that is repaired"
    )
