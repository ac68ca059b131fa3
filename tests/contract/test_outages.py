"""Outages of the database and the object store: errors in time, and recovery without a restart (C8)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from converto_core.errors import ConvertoError, ObjectStoreUnavailable, StoreUnavailable
from converto_core.ids import new_id
from converto_infra.mongo.stores import MongoStores
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from tests.contract.samples import a_conversion
from tests.proxy import Proxy, proxy_to

SOON_S = 20.0
TIMEOUT_S = 1.0  # after a cut the driver looks for the server at most twice a second


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


@pytest.fixture
async def database_proxy(server_settings: Callable[..., Settings]) -> AsyncIterator[Proxy]:
    async with proxy_to(*address(server_settings().mongodb_url.get_secret_value())) as proxy:
        yield proxy


@pytest.fixture
async def stores(server_settings: Callable[..., Settings], database_proxy: Proxy) -> AsyncIterator[MongoStores]:
    url = f"mongodb://127.0.0.1:{database_proxy.port}/?directConnection=true"
    stores = MongoStores.connect(
        server_settings(mongodb_url=url, mongodb_timeout_s=TIMEOUT_S, breaker_failures=3, breaker_reset_s=0.2)
    )
    yield stores
    await stores.close()


@pytest.fixture
async def objects_proxy(server_settings: Callable[..., Settings]) -> AsyncIterator[Proxy]:
    async with proxy_to(*address(server_settings().s3_endpoint_url or "")) as proxy:
        yield proxy


@pytest.fixture
async def objects(server_settings: Callable[..., Settings], objects_proxy: Proxy) -> AsyncIterator[S3ObjectStore]:
    store = S3ObjectStore.connect(
        server_settings(
            s3_endpoint_url=f"http://127.0.0.1:{objects_proxy.port}",
            s3_timeout_s=2 * TIMEOUT_S,
            breaker_failures=3,
            breaker_reset_s=0.2,
        )
    )
    await until_it_works(store.ensure_bucket)
    yield store
    await store.close()


async def until_it_works(call: Callable[[], object]) -> None:
    """Call until it succeeds, like a caller that honours `Retry-After`."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await call()  # type: ignore[misc]
            except ConvertoError:
                await asyncio.sleep(0.05)
            else:
                return


async def seconds_until_refused(call: Callable[[], object], error: type[ConvertoError]) -> float:
    clock = asyncio.get_running_loop()
    started = clock.time()
    with pytest.raises(error):
        await call()  # type: ignore[misc]
    return clock.time() - started


async def test_database_that_is_down_fails_fast_and_recovers(stores: MongoStores, database_proxy: Proxy) -> None:
    kept = a_conversion()
    await until_it_works(lambda: stores.conversions.insert(kept))
    await database_proxy.stop()

    for _ in range(4):
        assert await seconds_until_refused(stores.ping, StoreUnavailable) < 4 * TIMEOUT_S
    assert stores.guard.state == "open"
    assert await seconds_until_refused(stores.ping, StoreUnavailable) < TIMEOUT_S / 2

    await database_proxy.start()
    await until_it_works(stores.ping)
    assert await stores.conversions.get(kept.id) == kept


async def test_silent_database_times_out_and_recovers(stores: MongoStores, database_proxy: Proxy) -> None:
    await until_it_works(stores.ping)
    database_proxy.silence()

    assert await seconds_until_refused(stores.ping, StoreUnavailable) < 4 * TIMEOUT_S

    database_proxy.resume()
    await until_it_works(stores.ping)


async def test_silent_database_fails_each_request_within_its_deadline(
    server_settings: Callable[..., Settings], database_proxy: Proxy
) -> None:
    """C8: the API answers within a second, whatever the driver does; sweeps have longer."""
    url = f"mongodb://127.0.0.1:{database_proxy.port}/?directConnection=true"
    settings = server_settings(mongodb_url=url, mongodb_timeout_s=10, breaker_failures=1000)
    stores = MongoStores.connect(settings, timeout_s=0.4)
    await until_it_works(stores.ping)
    database_proxy.silence()

    asked = [seconds_until_refused(lambda: stores.conversions.get("x"), StoreUnavailable) for _ in range(60)]
    took_s = await asyncio.gather(*asked)

    database_proxy.resume()
    await stores.close()
    assert max(took_s) < 1.5


async def test_reads_are_repeated_after_a_cut_connection(stores: MongoStores, database_proxy: Proxy) -> None:
    kept = a_conversion()
    await until_it_works(lambda: stores.conversions.insert(kept))
    database_proxy.cut()

    assert await stores.conversions.get(kept.id) == kept


async def test_object_store_that_is_down_fails_fast_and_recovers(
    objects: S3ObjectStore, objects_proxy: Proxy, tmp_path: Path
) -> None:
    key = f"t/ann/in/{new_id()}/1/source"
    await objects.put(key, b"bytes", content_type="a/b")
    await objects_proxy.stop()

    for _ in range(4):
        assert await seconds_until_refused(objects.ping, ObjectStoreUnavailable) < 8 * TIMEOUT_S
    assert await seconds_until_refused(lambda: objects.download(key, tmp_path / "x"), ObjectStoreUnavailable) < 1

    await objects_proxy.start()
    await until_it_works(objects.ping)
    assert (await objects.download(key, tmp_path / "x")).size_bytes == 5


async def test_silent_object_store_times_out_and_recovers(objects: S3ObjectStore, objects_proxy: Proxy) -> None:
    objects_proxy.silence()

    assert await seconds_until_refused(lambda: objects.head("x"), ObjectStoreUnavailable) < 8 * TIMEOUT_S

    objects_proxy.resume()
    await until_it_works(objects.ping)


async def test_interrupted_upload_leaves_no_object(
    objects: S3ObjectStore, objects_proxy: Proxy, tmp_path: Path
) -> None:
    source, key = tmp_path / "source", f"t/ann/out/{new_id()}/1/a"
    with source.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    uploading = asyncio.create_task(objects.upload(source, key, content_type="a/b", filename="a"))
    await asyncio.wait({uploading}, timeout=0.3)
    await objects_proxy.stop()

    with pytest.raises(ObjectStoreUnavailable):
        await uploading

    await objects_proxy.start()
    await until_it_works(objects.ping)
    assert await objects.head(key) is None


async def test_database_client_with_a_lost_lock_is_replaced(server_settings: Callable[..., Settings]) -> None:
    """C8: PyMongo loses a lock now and then, and every later call of that client would wait for ever."""
    stores = MongoStores.connect(server_settings(breaker_reset_s=0.2), timeout_s=0.4)
    kept = a_conversion()
    await until_it_works(lambda: stores.conversions.insert(kept))
    await stores._client.database.client._topology._lock.acquire()  # by nobody who would release it

    asked = [seconds_until_refused(lambda: stores.conversions.get(kept.id), StoreUnavailable) for _ in range(50)]
    took_s = await asyncio.gather(*asked)
    await until_it_works(stores.ping)

    assert max(took_s) < 1.5
    assert await stores.conversions.get(kept.id) == kept
    assert stores.faults == ()
    await stores.close()


async def test_renewed_database_client_works_under_load(server_settings: Callable[..., Settings]) -> None:
    """Calls that the old client still serves are answered, because it is closed after their deadline."""
    stores = MongoStores.connect(server_settings(breaker_failures=1000))
    kept = a_conversion()
    await until_it_works(lambda: stores.conversions.insert(kept))

    reading = [asyncio.create_task(stores.conversions.get(kept.id)) for _ in range(50)]
    await asyncio.sleep(0)
    stores._client.renew(asyncio.get_running_loop().time(), "asked for by this test")
    found = await asyncio.gather(*reading)
    found += await asyncio.gather(*(stores.conversions.get(kept.id) for _ in range(50)))

    assert found == [kept] * 100
    await stores.close()
