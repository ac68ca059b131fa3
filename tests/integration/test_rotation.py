"""The rotation function with a real RabbitMQ and moto's Secrets Manager, which calls it as the real one does.

The database server of a laptop has no users, so the login there is rotated only where the tests are given a real
MongoDB; elsewhere `tests/unit/deploy/rotation/test_database.py` has a double at the driver's commands.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aio_pika
import boto3
import pytest
from aio_pika.exceptions import ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused
from moto import mock_aws
from moto.awslambda.models import LambdaBackend
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from yarl import URL

from converto_core.formats import Family
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.settings import Settings
from deploy.aws.rotation.administrator import LoginRefused
from deploy.aws.rotation.configuration import VARIABLE
from deploy.aws.rotation.credentials import Credentials
from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.handler import handle
from deploy.aws.rotation.management import ManagementApi
from tests.contract.samples import a_message, an_event
from tests.integration.secure_broker import SecureBroker
from tests.servers import Servers

PLACEHOLDER = "none-before-the-first-rotation"
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An AWS account in memory, whose Lambda runs the handler in this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    def invoke(_self: object, _name: str, *, body: str, **_: object) -> None:
        event = json.loads(body)
        secret = boto3.client("secretsmanager").describe_secret(SecretId=event["SecretId"])
        handle(event | {"SecretId": secret["ARN"]})  # AWS sends the ARN, moto the name

    monkeypatch.setattr(LambdaBackend, "invoke", invoke)
    monkeypatch.setattr(LambdaBackend, "get_function", lambda *_: object())
    with mock_aws():
        yield


class Secret:
    """One secret of the account."""

    def __init__(self, name: str, value: str) -> None:
        self._client: Any = boto3.client("secretsmanager")
        self.arn: str = self._client.create_secret(Name=name, SecretString=value)["ARN"]

    def value(self) -> str:
        value: str = self._client.get_secret_value(SecretId=self.arn)["SecretString"]
        return value

    def login(self) -> Credentials:
        return Credentials.from_secret(self.value())

    def rotate(self) -> None:
        function = f"arn:aws:lambda:{REGION}:123456789012:function:rotation"
        self._client.rotate_secret(SecretId=self.arn, RotationLambdaARN=function)


@pytest.fixture
def bootstrap(broker: SecureBroker) -> Secret:
    return Secret("bootstrap", Credentials(broker.administrator, broker.password).to_secret())


@pytest.fixture
def login(
    broker: SecureBroker, bootstrap: Secret, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> Secret:
    """The services' login on the broker, before its first rotation."""
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.certificates.authority))
    secret = Secret("broker", Credentials("converto_test_b", PLACEHOLDER).to_secret())
    configure(
        {
            secret.arn: {
                "kind": "broker",
                "url": broker.url,
                "management_url": broker.management_url,
                "admin_secret_arn": bootstrap.arn,
                "user": "converto_test",
                "services": ["file-service"],
            },
            bootstrap.arn: {"kind": "broker_bootstrap", "management_url": broker.management_url},
        }
    )
    return secret


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def write(secrets: dict[str, Any]) -> None:
        monkeypatch.setenv(VARIABLE, json.dumps({"cluster": "converto-test", "secrets": secrets}))

    return write


def settings_with(broker: SecureBroker, login: Credentials) -> Settings:
    return Settings(
        rabbitmq_url=SecretStr(broker.url),
        rabbitmq_user=login.username,
        rabbitmq_password=SecretStr(login.password),
    )


async def connect(broker: SecureBroker, login: Credentials) -> aio_pika.abc.AbstractConnection:
    return await aio_pika.connect(URL(broker.url).with_user(login.username).with_password(login.password))


async def works(broker: SecureBroker, login: Credentials) -> bool:
    try:
        connection = await connect(broker, login)
    except ProbableAuthenticationError:
        return False
    await connection.close()
    return True


async def rotate(secret: Secret) -> Credentials:
    """As Lambda does, outside of any event loop."""
    await asyncio.to_thread(secret.rotate)
    return secret.login()


async def test_services_work_with_the_rotated_login(broker: SecureBroker, login: Secret) -> None:
    """AMQP with TLS, a login apart from the URL, and the rights to all that the services do."""
    bus = RabbitEventBus.connect(settings_with(broker, await rotate(login)))
    async with asyncio.timeout(30), bus.subscribe() as events, bus.open_slot((Family.PDF,)) as slot:
        await bus.publish(a_message("one", family=Family.PDF))
        delivery = await slot.next()
        await delivery.accept()
        async with bus.dead_letters() as dead_letters:
            letter = await dead_letters.take()
        await bus.publish_event(an_event("one"))
        event = await anext(events)
    await bus.close()

    assert (delivery.event.id, event.id) == ("one", "one")
    assert letter is None


async def test_old_login_works_until_the_second_rotation(broker: SecureBroker, login: Secret) -> None:
    first = await rotate(login)
    second = await rotate(login)

    assert (first.username, second.username) == ("converto_test_a", "converto_test_b")
    assert await works(broker, first) and await works(broker, second)

    third = await rotate(login)

    assert third.username == first.username
    assert not await works(broker, first)
    assert await works(broker, second) and await works(broker, third)


async def test_rotated_user_may_touch_converto_only(broker: SecureBroker, login: Secret) -> None:
    async with await connect(broker, await rotate(login)) as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue("of-somebody-else")


async def test_rotated_user_may_not_administer(broker: SecureBroker, login: Secret) -> None:
    rotated = await rotate(login)

    with ManagementApi(broker.management_url, rotated) as api, pytest.raises(LoginRefused):
        api.put_user(Credentials("intruder", "p"), tags=["administrator"])


async def test_administrators_password_of_the_state_dies(
    broker: SecureBroker, login: Secret, bootstrap: Secret
) -> None:
    try:
        rotated = await rotate(bootstrap)

        assert rotated.username == broker.administrator
        assert not await works(broker, Credentials(broker.administrator, broker.password))
        assert await works(broker, rotated)
        assert await works(broker, await rotate(login)), "the next rotation must use the new password"
    finally:
        with ManagementApi(broker.management_url, bootstrap.login()) as api:
            api.put_user(Credentials(broker.administrator, broker.password), tags=["administrator"])


async def test_unknown_authority_ends_the_rotation(
    broker: SecureBroker, login: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        await rotate(login)

    assert login.login().password == PLACEHOLDER


async def test_services_are_deployed_again(login: Secret) -> None:
    ecs: Any = boto3.client("ecs")
    ecs.create_cluster(clusterName="converto-test")
    container = {"name": "file-service", "image": "image", "memory": 128}
    ecs.register_task_definition(family="file-service", containerDefinitions=[container])
    ecs.create_service(
        cluster="converto-test", serviceName="file-service", taskDefinition="file-service", desiredCount=1
    )
    before = deployment(ecs)

    await rotate(login)

    assert deployment(ecs) != before


def deployment(ecs: Any) -> str:
    described = ecs.describe_services(cluster="converto-test", services=["file-service"])["services"][0]
    newest: str = described["deployments"][0]["id"]
    return newest


def test_api_key_gets_a_new_secret_part(configure: Callable[..., None]) -> None:
    secret = Secret("key", PLACEHOLDER)
    configure({secret.arn: {"kind": "api_key", "services": ["file-service"]}})

    secret.rotate()
    first = secret.value()
    secret.rotate()

    assert first.startswith("cvt_")
    assert secret.value() != first
    assert secret.value().rpartition("_")[0] == first.rpartition("_")[0]


def test_secret_of_another_system_is_refused(configure: Callable[..., None]) -> None:
    configure({})

    with pytest.raises(RotationFailed, match="is not in CONVERTO_ROTATION"):
        Secret("stranger", "value").rotate()


@pytest.fixture
def database(servers: Servers) -> Iterator[Credentials]:
    """An administrator of a database server that has users."""
    administrator = Credentials("rotation_test_master", "before")
    client: MongoClient[dict[str, Any]] = MongoClient(servers.mongodb_url, serverSelectionTimeoutMS=5000)
    with suppress(OperationFailure):
        client.admin.command("createUser", administrator.username, pwd=administrator.password, roles=["root"])
    if not client.admin.command("usersInfo", administrator.username).get("users"):
        client.close()
        pytest.skip("this database server has no users")
    yield administrator
    for user in (administrator.username, "converto_test_a", "converto_test_b"):
        client.admin.command("dropUser", user)
    client.close()


def test_database_login_is_rotated(servers: Servers, database: Credentials, configure: Callable[..., None]) -> None:
    master = Secret("master", database.to_secret())
    secret = Secret("database", Credentials("converto_test_b", PLACEHOLDER).to_secret())
    url = str(URL(servers.mongodb_url).with_user(None))
    configure(
        {
            secret.arn: {
                "kind": "database",
                "url": url,
                "admin_secret_arn": master.arn,
                "database": "rotation_test",
                "user": "converto_test",
            }
        }
    )

    logins = []
    for _ in range(2):
        secret.rotate()
        logins.append(secret.login())

    for login in logins:
        client: MongoClient[dict[str, Any]] = MongoClient(url, username=login.username, password=login.password)
        client["rotation_test"]["installation"].find_one({})
        with pytest.raises(OperationFailure):
            client.admin.command("createUser", "intruder", pwd="p", roles=["root"])
        client.close()
