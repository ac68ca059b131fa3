"""Both implementations of each port, in memory and on a real server, for the same suite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import aio_pika
import pytest

from converto_core.conversion.record import Lane
from converto_core.errors import BusUnavailable
from converto_core.events import DEAD_LETTER_QUEUE, queue_name
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import MIB, Settings
from tests.contract.samples import a_message
from tests.servers import Servers

PUBLISHED_WITHIN_S = 30.0
IMPLEMENTATIONS = ("memory", "real")
DRIVERS = (
    "pymongo",
    pytest.param("motor", marks=pytest.mark.skipif(find_spec("motor") is None, reason="Motor is not installed")),
)


@pytest.fixture(scope="session")
def server_settings(servers: Servers) -> Callable[..., Settings]:
    """Builds settings for the real servers with a new database; keywords override fields."""

    def make(**changes: Any) -> Settings:
        start: dict[str, Any] = {
            "mongodb_url": servers.mongodb_url,
            "mongodb_database": f"contract_{new_id().replace('-', '')}",
            "rabbitmq_url": servers.rabbitmq_url,
            "s3_endpoint_url": servers.s3_endpoint_url,
            "s3_access_key_id": servers.s3_access_key_id,
            "s3_secret_access_key": servers.s3_secret_access_key,
            "s3_bucket": "contract",
            "part_size_bytes": 5 * MIB,
        }
        return Settings(**{**start, **changes})

    return make


@pytest.fixture(params=("memory", *DRIVERS))
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStores | MongoStores]:
    """The stores of an empty database."""
    if request.param == "memory":
        yield MemoryStores()
        return
    real = MongoStores.connect(request.getfixturevalue("server_settings")(mongodb_driver=request.param))
    if request.param == "pymongo":  # the tests of Motor stay quick without indexes; one test makes them
        await real.ensure_indexes()
    yield real
    await real.close()


@pytest.fixture(params=IMPLEMENTATIONS)
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    """An object store with its bucket."""
    if request.param == "memory":
        return MemoryObjectStore()
    real: S3ObjectStore = request.getfixturevalue("s3")
    return real


@pytest.fixture(scope="session")
async def s3(server_settings: Callable[..., Settings]) -> AsyncIterator[S3ObjectStore]:
    """The object store on the real server, shared by all tests because creating its clients takes a second."""
    store = S3ObjectStore.connect(server_settings())
    await store.ensure_bucket()
    yield store
    await store.close()


@pytest.fixture(params=IMPLEMENTATIONS)
def bus(request: pytest.FixtureRequest) -> EventBus:
    """An event bus whose queues are empty."""
    if request.param == "memory":
        return MemoryEventBus()
    real: RabbitEventBus = request.getfixturevalue("rabbit")
    return real


@pytest.fixture
async def rabbit(server_settings: Callable[..., Settings]) -> AsyncIterator[RabbitEventBus]:
    """The bus on the real broker with empty queues."""
    settings = server_settings()
    await purge(settings)
    bus = RabbitEventBus.connect(settings)
    await bus.ping()
    yield bus
    await bus.close()
    await purge(settings)


@pytest.fixture
async def admin(server_settings: Callable[..., Settings]) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A direct channel to the broker, for what an operator or a stranger does."""
    async with await aio_pika.connect(server_settings().rabbitmq_url.get_secret_value()) as connection:
        yield await connection.channel()


async def purge(settings: Settings) -> None:
    """Empty all queues, which an operator may do at any time and which isolates the tests."""
    names = [DEAD_LETTER_QUEUE, *(queue_name(family, lane) for family in Family for lane in Lane)]
    async with asyncio.timeout(30), await aio_pika.connect(settings.rabbitmq_url.get_secret_value()) as connection:
        for name in names:
            with suppress(aio_pika.exceptions.ChannelNotFoundEntity):
                channel = await connection.channel()
                await (await channel.get_queue(name, ensure=False)).purge()


async def publish_until_confirmed(bus: EventBus, conversion_id: str) -> None:
    """Publish again until confirmed, like the outbox."""
    async with asyncio.timeout(PUBLISHED_WITHIN_S):
        while True:
            try:
                await bus.publish(a_message(conversion_id))
            except BusUnavailable:
                await asyncio.sleep(0.05)
            else:
                return
