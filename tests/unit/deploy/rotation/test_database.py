"""The users of the database change as told. A double takes the commands: the server on a laptop has no users."""

import json
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from deploy.aws.rotation.administrator import Administrator
from deploy.aws.rotation.configuration import Database
from deploy.aws.rotation.database import DatabaseLogin
from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.versions import SecretVersions
from tests.unit.deploy.rotation.vault import FakeVault

SECRET = Database(url="mongodb://db/?tls=true", admin_secret_arn="master", database="converto", user="converto_test")
READ_WRITE = [{"role": "readWrite", "db": "converto"}]


class UserServer:
    """A server with users. Commands are those that DocumentDB and MongoDB document."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {"master": {"pwd": "m", "roles": [{"role": "root", "db": "admin"}]}}
        self.open_clients = 0

    def client(self, url: str, *, username: str, password: str, **options: Any) -> Any:
        assert url == SECRET.url
        self.open_clients += 1
        return UserClient(self, username, password)


class UserClient:
    """What `pymongo.MongoClient` is to the rotation; like that, it logs in with the first command."""

    def __init__(self, server: UserServer, username: str, password: str) -> None:
        self._server, self._username, self._password = server, username, password
        self.admin = self

    def __getitem__(self, _name: str) -> "UserClient":
        return self

    def find_one(self, _query: dict[str, Any]) -> None:
        self._log_in()
        if READ_WRITE[0] not in self._server.users[self._username]["roles"]:
            raise OperationFailure("not authorized", code=13)

    def command(self, name: str, user: str, **fields: Any) -> dict[str, Any]:
        self._log_in()
        known = user in self._server.users
        match name:
            case "usersInfo":
                return {"users": [{"user": user}] if known else []}
            case "createUser" if not known:
                self._server.users[user] = fields
            case "updateUser" if known:
                self._server.users[user] |= fields
            case _:
                raise OperationFailure(f"{name} {user}", code=51003 if known else 11)
        return {"ok": 1.0}

    def close(self) -> None:
        self._server.open_clients -= 1

    def _log_in(self) -> None:
        if self._server.users.get(self._username, {}).get("pwd") != self._password:
            raise OperationFailure("Authentication failed.", code=18)


@pytest.fixture
def server() -> UserServer:
    return UserServer()


@pytest.fixture
def vault() -> FakeVault:
    fake = FakeVault()
    fake.create("master", json.dumps({"username": "master", "password": "m", "engine": "mongo"}))
    return fake


@pytest.fixture
def login(server: UserServer, vault: FakeVault) -> DatabaseLogin:
    return DatabaseLogin(SECRET, Administrator(SecretVersions(vault, "master")), make_client=server.client)


def rotate(login: DatabaseLogin, current: str) -> str:
    pending = login.next_value(current)
    login.set(current, pending)
    login.test(pending)
    return pending


PLACEHOLDER = json.dumps({"username": "converto_test_b", "password": "none-before-the-first-rotation"})


def test_first_rotation_makes_the_first_user(login: DatabaseLogin, server: UserServer) -> None:
    pending = json.loads(rotate(login, PLACEHOLDER))

    assert pending["username"] == "converto_test_a"
    assert server.users["converto_test_a"] == {"pwd": pending["password"], "roles": READ_WRITE}
    assert "converto_test_b" not in server.users


def test_current_user_still_works_after_a_rotation(login: DatabaseLogin) -> None:
    current = rotate(login, PLACEHOLDER)

    rotate(login, current)

    login.test(current)


def test_third_rotation_changes_the_first_users_password(login: DatabaseLogin, server: UserServer) -> None:
    first = rotate(login, PLACEHOLDER)
    third = rotate(login, rotate(login, first))

    assert json.loads(third)["username"] == "converto_test_a"
    assert sorted(server.users) == ["converto_test_a", "converto_test_b", "master"]
    with pytest.raises(RotationFailed, match="refuses converto_test_a with its new password"):
        login.test(first)


def test_repeated_set_changes_nothing(login: DatabaseLogin, server: UserServer) -> None:
    pending = login.next_value(PLACEHOLDER)
    login.set(PLACEHOLDER, pending)
    before = dict(server.users)

    login.set(PLACEHOLDER, pending)

    assert server.users == before


def test_roles_that_someone_widened_are_narrowed(login: DatabaseLogin, server: UserServer) -> None:
    server.users["converto_test_a"] = {"pwd": "x", "roles": [{"role": "root", "db": "admin"}]}

    rotate(login, PLACEHOLDER)

    assert server.users["converto_test_a"]["roles"] == READ_WRITE


def test_administrator_that_is_just_being_rotated_is_tried_both_ways(
    login: DatabaseLogin, server: UserServer, vault: FakeVault
) -> None:
    vault.start_rotation("master", "v2")
    vault.values["master"]["v2"] = json.dumps({"username": "master", "password": "new"})
    server.users["master"]["pwd"] = "new"

    rotate(login, PLACEHOLDER)

    assert "converto_test_a" in server.users


def test_administrator_whose_rotation_just_ended_is_read_again(
    login: DatabaseLogin, server: UserServer, vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.start_rotation("master", "v2")
    vault.values["master"]["v2"] = json.dumps({"username": "master", "password": "new"})
    server.users["master"]["pwd"] = "new"

    def end_rotation(versions: SecretVersions, version_id: str | None = None) -> None:
        """What `pending` finds when the other rotation ends between the two reads: no version."""
        versions.make_current("v2")

    monkeypatch.setattr(SecretVersions, "pending", end_rotation)
    rotate(login, PLACEHOLDER)

    assert "converto_test_a" in server.users


def test_refused_administrator_is_named_without_its_password(login: DatabaseLogin, server: UserServer) -> None:
    server.users["master"]["pwd"] = "changed by hand"

    with pytest.raises(RotationFailed, match="the server refuses its administrator") as failed:
        login.set(PLACEHOLDER, login.next_value(PLACEHOLDER))

    assert "changed" not in str(failed.value)


def test_other_failures_of_the_server_pass_through(login: DatabaseLogin, server: UserServer) -> None:
    login.set(PLACEHOLDER, pending := login.next_value(PLACEHOLDER))
    server.users["converto_test_a"]["roles"] = []

    with pytest.raises(OperationFailure, match="not authorized"):
        login.test(pending)


def test_every_client_is_closed(login: DatabaseLogin, server: UserServer) -> None:
    rotate(login, PLACEHOLDER)

    assert server.open_clients == 0


def test_secret_that_is_not_json_is_refused_without_its_text(login: DatabaseLogin) -> None:
    with pytest.raises(RotationFailed, match="not JSON of the form") as failed:
        login.next_value("hush")

    assert "hush" not in str(failed.value)
