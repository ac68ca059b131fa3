"""Settings that are checked when a process starts: the message names the variable and the way out."""

import sys
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pymongo.uri_parser import parse_uri
from yarl import URL

from converto_infra.settings import Settings


def test_missing_motor_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "motor", None)  # type: ignore[arg-type]

    with pytest.raises(ValidationError, match=r"pip install converto\[motor\].*CONVERTO_MONGODB_DRIVER=pymongo"):
        Settings(mongodb_driver="motor")


def test_unknown_driver_is_refused() -> None:
    with pytest.raises(ValidationError, match="'pymongo' or 'motor'"):
        Settings(mongodb_driver="mongoengine")  # type: ignore[arg-type]


AWKWARD = "p@ss:w/rd?#%[]+ é"


def test_login_is_put_into_the_database_url() -> None:
    settings = Settings(
        mongodb_url=SecretStr("mongodb://db.example:27017/?tls=true&replicaSet=rs0"),
        mongodb_user="con:verto@a",
        mongodb_password=SecretStr(AWKWARD),
    )

    parsed = parse_uri(settings.database_url.get_secret_value())

    assert (parsed["username"], parsed["password"]) == ("con:verto@a", AWKWARD)
    assert parsed["nodelist"] == [("db.example", 27017)]
    assert parsed["options"]["replicaSet"] == "rs0"


def test_login_is_put_into_the_broker_url() -> None:
    settings = Settings(
        rabbitmq_url=SecretStr("amqps://mq.example:5671/"),
        rabbitmq_user="con:verto@a",
        rabbitmq_password=SecretStr(AWKWARD),
    )

    parsed = URL(settings.broker_url.get_secret_value())

    assert (parsed.user, parsed.password) == ("con:verto@a", AWKWARD)
    assert (parsed.scheme, parsed.host, parsed.port, parsed.path) == ("amqps", "mq.example", 5671, "/")


def test_database_url_may_name_several_hosts_and_no_path() -> None:
    settings = Settings(mongodb_url=SecretStr("mongodb://a:1,b:2"), mongodb_user="u", mongodb_password=SecretStr("p@1"))

    assert settings.database_url.get_secret_value() == "mongodb://u:p%401@a:1,b:2"


def test_url_without_a_separate_login_stays_as_it_is() -> None:
    settings = Settings(mongodb_url=SecretStr("mongodb://u:p@db.example"), mongodb_user="")

    assert settings.database_url == settings.mongodb_url


def test_at_sign_in_a_path_is_no_login() -> None:
    settings = Settings(
        rabbitmq_url=SecretStr("amqp://mq.example/virtual@host"), rabbitmq_user="u", rabbitmq_password=SecretStr("p")
    )

    assert settings.broker_url.get_secret_value() == "amqp://u:p@mq.example/virtual@host"


def test_url_with_a_login_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_RABBITMQ_URL", "amqp://own:hush@mq")
    monkeypatch.setenv("CONVERTO_RABBITMQ_USER", "u")
    monkeypatch.setenv("CONVERTO_RABBITMQ_PASSWORD", "shh")

    with pytest.raises(ValidationError, match="CONVERTO_RABBITMQ_URL: the URL names a user already") as refused:
        Settings()

    assert "hush" not in str(refused.value)
    assert "shh" not in str(refused.value)


@pytest.mark.parametrize("half", [{"mongodb_user": "u"}, {"mongodb_password": SecretStr("p")}])
def test_half_a_login_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="CONVERTO_MONGODB_URL: the user or the password is missing"):
        Settings(**half)


def test_login_from_the_environment_reaches_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_MONGODB_URL", "mongodb://db.example:27017")
    monkeypatch.setenv("CONVERTO_MONGODB_USER", "converto_a")
    monkeypatch.setenv("CONVERTO_MONGODB_PASSWORD", "hush")

    assert Settings().database_url.get_secret_value() == "mongodb://converto_a:hush@db.example:27017"
    assert "hush" not in repr(Settings())
