"""The services' user in Amazon DocumentDB, or any server that speaks MongoDB's protocol and has users."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.aws.rotation.administrator import Administrator, LoginRefused
from deploy.aws.rotation.configuration import Database
from deploy.aws.rotation.credentials import Credentials, other_user
from deploy.aws.rotation.errors import RotationFailed

TIMEOUT_MS = 10_000
AUTHENTICATION_FAILED = 18  # MongoDB's error code, which DocumentDB uses too

Client = MongoClient[dict[str, Any]]
MakeClient = Callable[..., Client]


class DatabaseLogin:
    """Two users take turns, so that the current one works until its services have been restarted."""

    def __init__(self, secret: Database, administrator: Administrator, make_client: MakeClient = MongoClient) -> None:
        self._secret, self._administrator, self._make_client = secret, administrator, make_client

    def next_value(self, current: str) -> str:
        """The other user with a new password."""
        return other_user(self._secret.user, Credentials.from_secret(current)).to_secret()

    def set(self, current: str, pending: str) -> None:
        """Create the other user, or change its password; it may read and write converto's database only."""
        login = Credentials.from_secret(pending)
        self._administrator.run(lambda administrator: self._put_user(administrator, login))

    def test(self, pending: str) -> None:
        """Read from converto's database as the new user."""
        login = Credentials.from_secret(pending)
        try:
            with self._connected(login) as client:
                client[self._secret.database]["installation"].find_one({})
        except LoginRefused as error:
            raise RotationFailed(f"the database refuses {login.username} with its new password") from error

    def _put_user(self, administrator: Credentials, login: Credentials) -> None:
        roles = [{"role": "readWrite", "db": self._secret.database}]
        with self._connected(administrator) as client:
            known = client.admin.command("usersInfo", login.username)["users"]
            command = "updateUser" if known else "createUser"
            client.admin.command(command, login.username, pwd=login.password, roles=roles)

    @contextmanager
    def _connected(self, login: Credentials) -> Iterator[Client]:
        """A client with this login; raises `LoginRefused` when the server refuses it."""
        client = self._make_client(
            self._secret.url,
            username=login.username,
            password=login.password,
            serverSelectionTimeoutMS=TIMEOUT_MS,
            connectTimeoutMS=TIMEOUT_MS,
            socketTimeoutMS=TIMEOUT_MS,
            appname="converto rotation",
        )
        try:
            yield client
        except OperationFailure as error:
            if error.code == AUTHENTICATION_FAILED:
                raise LoginRefused(login.username) from error
            raise
        finally:
            client.close()
