"""The services' user on RabbitMQ, and the broker's administrator."""

import asyncio
from collections.abc import Callable

import aio_pika
from aio_pika.exceptions import AMQPError
from yarl import URL

from deploy.aws.rotation.administrator import Administrator, LoginRefused
from deploy.aws.rotation.configuration import Broker, BrokerBootstrap
from deploy.aws.rotation.credentials import Credentials, other_user
from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.management import ManagementApi

TIMEOUT_S = 15.0
VIRTUAL_HOST = "/"  # the only one that Amazon MQ makes
# The exchanges and queues of converto_infra/rabbitmq/declarations.py; the broker names those of live events.
OWN_NAMES = r"^(converto\.|conversions\.|amq\.gen-).*$"

Manage = Callable[[str, Credentials], ManagementApi]


class BrokerLogin:
    """Two users take turns, so that the current one works until its services have been restarted."""

    def __init__(self, secret: Broker, administrator: Administrator, manage: Manage = ManagementApi) -> None:
        self._secret, self._administrator, self._manage = secret, administrator, manage

    def next_value(self, current: str) -> str:
        """The other user with a new password."""
        return other_user(self._secret.user, Credentials.from_secret(current)).to_secret()

    def set(self, current: str, pending: str) -> None:
        """Create the other user, or change its password; it may use converto's exchanges and queues only."""
        login = Credentials.from_secret(pending)
        self._administrator.run(lambda administrator: self._put_user(administrator, login))

    def test(self, pending: str) -> None:
        """Connect by AMQP as the new user, and declare a queue as the services do."""
        login = Credentials.from_secret(pending)
        try:
            asyncio.run(_declare_queue(self._secret.url, login))
        except (AMQPError, OSError, TimeoutError) as error:
            raise RotationFailed(f"the broker refuses {login.username}: {type(error).__name__}") from error

    def _put_user(self, administrator: Credentials, login: Credentials) -> None:
        with self._manage(self._secret.management_url, administrator) as api:
            api.put_user(login, tags=[])
            api.put_permissions(login.username, OWN_NAMES, virtual_host=VIRTUAL_HOST)


class BrokerAdministrator:
    """One user with a new password: nothing but this function uses it, and it reads the secret at each call."""

    def __init__(self, secret: BrokerBootstrap, manage: Manage = ManagementApi) -> None:
        self._secret, self._manage = secret, manage

    def next_value(self, current: str) -> str:
        """The same user with a new password."""
        return Credentials.from_secret(current).with_new_password().to_secret()

    def set(self, current: str, pending: str) -> None:
        """Change the password, as the user itself; does nothing when that has been done."""
        login = Credentials.from_secret(pending)
        if self._is_accepted(login):
            return
        try:
            with self._manage(self._secret.management_url, Credentials.from_secret(current)) as api:
                api.put_user(login, tags=api.own_tags())
        except LoginRefused as error:
            raise RotationFailed(
                "the broker refuses its administrator with the current password and with the new one"
            ) from error

    def test(self, pending: str) -> None:
        """Log in with the new password."""
        if not self._is_accepted(Credentials.from_secret(pending)):
            raise RotationFailed("the broker refuses its administrator with the new password")

    def _is_accepted(self, login: Credentials) -> bool:
        try:
            with self._manage(self._secret.management_url, login) as api:
                api.own_tags()
        except LoginRefused:
            return False
        return True


async def _declare_queue(url: str, login: Credentials) -> None:
    with_login = URL(url).with_user(login.username).with_password(login.password)
    async with asyncio.timeout(TIMEOUT_S):
        connection = await aio_pika.connect(with_login, timeout=TIMEOUT_S, name="converto rotation")
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue("", exclusive=True, auto_delete=True)
