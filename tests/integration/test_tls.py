"""Broker and database with TLS, as on AWS: certificates are verified, and an unknown authority is an outage."""

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from yarl import URL

from converto_core.errors import BusUnavailable, StoreUnavailable
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from tests.certificates import Certificates, make_certificates
from tests.contract.conftest import DRIVERS
from tests.integration.secure_broker import SecureBroker
from tests.proxy import Proxy, proxy_to
from tests.servers import Servers


def broker_settings(broker: SecureBroker) -> Settings:
    return Settings(
        rabbitmq_url=SecretStr(broker.url),
        rabbitmq_user=broker.administrator,
        rabbitmq_password=SecretStr(broker.password),
    )


async def test_broker_is_trusted_by_the_systems_authorities(
    broker: SecureBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.certificates.authority))
    bus = RabbitEventBus.connect(broker_settings(broker))

    await bus.ping()

    await bus.close()


async def test_refused_login_is_an_outage(broker: SecureBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a service that starts before the first rotation of its secret waits, and does not fail."""
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.certificates.authority))
    placeholder = SecretStr("none-before-the-first-rotation")
    bus = RabbitEventBus.connect(broker_settings(broker).model_copy(update={"rabbitmq_password": placeholder}))

    with pytest.raises(BusUnavailable):
        await bus.ping()

    await bus.close()


async def test_broker_of_an_unknown_authority_is_refused(broker: SecureBroker) -> None:
    bus = RabbitEventBus.connect(broker_settings(broker))

    with pytest.raises(BusUnavailable) as refused:
        await bus.ping()

    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.detail)
    await bus.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("database"))


@pytest.fixture
async def database(servers: Servers, certificates: Certificates) -> AsyncIterator[Proxy]:
    """The database behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.key)
    url = URL(servers.mongodb_url)
    async with proxy_to(url.host or "127.0.0.1", url.port or 27017, tls=context) as proxy:
        yield proxy


@pytest.fixture
def database_settings(servers: Servers, database: Proxy) -> Callable[..., Settings]:
    def make(driver: Any, **options: str) -> Settings:
        # The options of the output `url` of terraform/modules/database, but for the replica set, which AWS has.
        query = {"tls": "true", "readPreference": "primary", "retryWrites": "false", **options}
        url = URL(servers.mongodb_url).with_host("127.0.0.1").with_port(database.port).update_query(query)
        return Settings(mongodb_url=SecretStr(str(url)), mongodb_driver=driver, mongodb_timeout_s=2)

    return make


@pytest.mark.parametrize("driver", DRIVERS)
async def test_database_is_trusted_by_the_authority_of_its_url(
    driver: str, database_settings: Callable[..., Settings], certificates: Certificates
) -> None:
    stores = MongoStores.connect(database_settings(driver, tlsCAFile=str(certificates.authority)))

    await stores.ping()

    await stores.close()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_database_of_an_unknown_authority_is_refused(
    driver: str, database_settings: Callable[..., Settings]
) -> None:
    stores = MongoStores.connect(database_settings(driver))

    with pytest.raises(StoreUnavailable):
        await stores.ping()

    await stores.close()
