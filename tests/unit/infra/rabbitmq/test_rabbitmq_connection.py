"""A cancellation is delivered from every exchange with the broker, even if the driver swallows it. Part of M14."""

import asyncio

import pytest

from converto_core.errors import BusUnavailable
from converto_infra.rabbitmq.connection import Connection
from converto_infra.rabbitmq.topology import Topology
from converto_infra.settings import Settings


async def test_cancellation_swallowed_by_the_driver_is_delivered() -> None:
    connection, asked = Connection(Settings(), Topology(), purpose="consume"), asyncio.Event()

    async def answer_instead_of_ending() -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "an answer"
        return "never"

    running = asyncio.create_task(connection.run(answer_instead_of_ending))
    async with asyncio.timeout(5):
        await asked.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_bare_exception_of_the_driver_is_a_lost_connection() -> None:
    """aiormq rejects a waiting call with `Exception()` when it gives up the channel."""
    connection = Connection(Settings(), Topology(), purpose="consume")

    async def give_up() -> None:
        raise Exception

    with pytest.raises(BusUnavailable) as raised:
        await connection.run(give_up)

    assert raised.value.detail == "broker: the channel was lost"


async def test_fault_of_our_own_is_no_outage() -> None:
    connection = Connection(Settings(), Topology(), purpose="consume")

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await connection.run(fail)
