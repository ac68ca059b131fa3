"""A client whose driver cannot be trusted is replaced by a new one, not too often (C8)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from structlog.testing import capture_logs

from converto_core.errors import StoreUnavailable
from converto_infra.mongo.client import HEALTHY_AFTER_S, PAUSE_FIRST_S, RenewableClient
from converto_infra.mongo.driver import free_locks
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings
from tests.unit.infra.conftest import SOON_S, ManualClock, until

NOWHERE = "mongodb://127.0.0.1:9/?directConnection=true"  # the discard port: connections are refused


class Clients:
    """Makes clients, and remembers them."""

    def __init__(self) -> None:
        self.made: list[AsyncMongoClient[dict[str, Any]]] = []

    def __call__(self) -> AsyncMongoClient[dict[str, Any]]:
        self.made.append(AsyncMongoClient(NOWHERE, serverSelectionTimeoutMS=100))
        return self.made[-1]


@pytest.fixture
def clients() -> Clients:
    return Clients()


@pytest.fixture
async def client(clients: Clients, clock: ManualClock) -> AsyncIterator[RenewableClient]:
    client = RenewableClient(clients, "converto", name="database", call_timeout_s=0.01, clock=clock)
    yield client
    await client.close()


async def test_broken_client_is_replaced(client: RenewableClient, clients: Clients, clock: ManualClock) -> None:
    current = client.collection("files")
    before = current()

    with capture_logs() as logs:
        client.renew(clock(), "it lost its lock")
        await until(lambda: len(clients.made) == 2)

    assert current().database.client is clients.made[1]
    assert before.database.client is clients.made[0]
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("database.client_renewed", "it lost its lock")]


async def test_calls_of_the_old_client_keep_the_new_one(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    began_at_s = clock()
    for _ in range(50):
        client.renew(began_at_s, "wedged")
    clock.now_s += 1
    await until(lambda: len(clients.made) == 2)
    for _ in range(50):
        client.renew(began_at_s, "wedged")

    await asyncio.sleep(0.05)  # as long as a renewal without a pause would need at most
    assert len(clients.made) == 2


async def test_client_that_breaks_at_once_is_replaced_after_a_pause(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    client.renew(clock(), "first")
    await until(lambda: len(clients.made) == 2)
    clock.now_s += PAUSE_FIRST_S - 0.1

    loop = asyncio.get_running_loop()
    asked_at_s = loop.time()
    client.renew(clock(), "second")
    await until(lambda: len(clients.made) == 3)

    assert loop.time() - asked_at_s >= 0.09


async def test_pause_starts_over_after_a_healthy_time(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    for number in range(2, 6):
        clock.now_s += HEALTHY_AFTER_S
        client.renew(clock(), "again")
        await until(lambda number=number: len(clients.made) == number)  # type: ignore[misc]

    assert len(clients.made) == 5


async def test_fault_lasts_until_the_new_client_answers(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    assert client.fault == ""
    began_at_s = clock()
    client.renew(began_at_s, "it lost its lock")
    client.proved(began_at_s)
    assert client.fault == "the database client is being renewed: it lost its lock"
    clock.now_s += 1
    await until(lambda: len(clients.made) == 2)
    client.proved(began_at_s)
    assert client.fault

    client.proved(clock())

    assert client.fault == ""


async def test_client_with_a_lost_lock_is_closed_all_the_same(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    old = clients.made[0]
    await old.aconnect()
    topology = old._topology
    await topology._lock.acquire()  # by nobody who would release it

    client.renew(clock(), "it lost its lock")
    await until(lambda: len(clients.made) == 2)
    async with asyncio.timeout(SOON_S):
        await client.close()

    assert topology._closed
    assert not topology._lock.locked()


async def test_missed_deadline_alone_replaces_nothing(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    """A slow server is no reason: only a lock that is never released is."""
    await clients.made[0].aconnect()

    client.examine(clock())
    assert client._examination is not None
    await client._examination

    assert len(clients.made) == 1
    assert client.fault == ""


async def test_locks_that_the_driver_hides_are_found() -> None:
    """An upgrade of PyMongo that renames them fails here."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(NOWHERE)
    await client.aconnect()
    (server,) = client._topology._servers.values()
    await server.pool.lock.acquire()

    await free_locks(client)

    assert not server.pool.lock.locked()
    await client.close()


async def test_calls_on_a_lost_lock_end_with_their_client(
    client: RenewableClient, clients: Clients, clock: ManualClock
) -> None:
    """Else the process would not end: `asyncio.run` waits for its tasks."""
    await clients.made[0].aconnect()
    topology = clients.made[0]._topology
    waiting = [asyncio.create_task(wait_as_the_driver_does(topology)) for _ in range(50)]
    await until(lambda: len(topology._condition._waiters) == 50)
    await topology._lock.acquire()  # by nobody who would release it
    for call in waiting:
        call.cancel()
    client.renew(clock(), "it lost its lock")
    await until(lambda: len(clients.made) == 2)

    await client.close()

    await asyncio.wait(waiting, timeout=SOON_S)
    assert all(call.done() for call in waiting)


async def wait_as_the_driver_does(topology: Any) -> None:
    """A monitor of the driver wakes all who wait whenever it has looked at its server; they wait again."""
    async with topology._lock:
        while True:
            await topology._condition.wait()


async def test_wedged_stores_answer_in_time_and_get_a_new_client() -> None:
    """Every call of the old client would wait for ever; those of the new one end by the deadline of the driver."""
    clients = Clients()
    stores = MongoStores(clients, Settings(breaker_reset_s=0.05), name="database", timeout_s=0.8)
    with pytest.raises(StoreUnavailable):
        await stores.ping()
    await clients.made[0]._topology._lock.acquire()
    loop = asyncio.get_running_loop()

    began_at_s = loop.time()
    wedged = await asyncio.gather(*(stores.conversions.get(str(n)) for n in range(50)), return_exceptions=True)
    took_s = loop.time() - began_at_s
    await until(lambda: stores._client.database.client is not clients.made[0])

    assert all(isinstance(error, StoreUnavailable) for error in wedged)
    assert took_s < SOON_S
    with pytest.raises(StoreUnavailable, match="not reachable") as refused:
        await stores.ping()
    assert "ServerSelectionTimeoutError" in refused.value.detail
    assert stores.faults
    async with asyncio.timeout(SOON_S):
        await stores.close()
