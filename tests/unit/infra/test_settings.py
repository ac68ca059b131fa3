"""Settings that are checked when a process starts: the message names the variable and the way out."""

import re
import ssl
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr, ValidationError
from pymongo.uri_parser import parse_uri
from yarl import URL

from converto_infra.mongo.driver import make_client
from converto_infra.settings import Settings, load_settings
from tests.certificates import make_certificates


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


def test_look_ages_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", "1, 2.5,60")
    some = Settings().upload_looks_s
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", "")
    none = Settings().upload_looks_s

    assert (some, none) == ((1.0, 2.5, 60.0), ())


@pytest.mark.parametrize("ages", ["60,5", "5,5", "0", "soon"])
def test_look_ages_in_no_order_are_refused(ages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", ages)

    with pytest.raises(ValidationError, match="upload_looks_s"):
        Settings()


@pytest.mark.parametrize(
    "url",
    ["converto-upload-events", "http://sqs.eu-west-1.amazonaws.com/1/q", "https://169.254.169.254/1/q",
     "https://key:secret@sqs.eu-west-1.amazonaws.com/1/q"],
)  # fmt: skip
def test_other_queues_of_upload_events_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="URL of the queue") as refused:
        Settings(upload_events_queue_url=url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://sqs.eu-west-1.amazonaws.com/1/q", "http://127.0.0.1:9324/1/q"])
def test_queue_of_upload_events_is_given_as_url(url: str) -> None:
    assert Settings(upload_events_queue_url=url).upload_events_queue_url == url

    assert Settings(upload_events_queue_url="").upload_events_queue_url is None


ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc"


def test_tokens_are_off_until_an_issuer_is_set() -> None:
    settings = Settings()

    assert (settings.jwt_issuer, settings.jwt_audiences, settings.jwt_owner_claim) == (None, frozenset(), "sub")


def test_empty_variables_mean_no_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISSUER", "AUDIENCE", "JWKS_URL", "SCOPE_PREFIX"):
        monkeypatch.setenv(f"CONVERTO_JWT_{name}", "")

    assert Settings().jwt_issuer is None


def test_audiences_are_read_from_a_list() -> None:
    assert Settings(jwt_issuer=ISSUER, jwt_audience=" web, cli,,").jwt_audiences == {"web", "cli"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000",
        "http://localhost/realms/x",
        "http://[::1]:1",
        "https://a.b/c/",
        "https://127.0.0.1:9000",
        "https://10.0.0.7",
        "https://[2001:db8::1]",
        "https://1.example",
    ],
)
def test_secure_issuers_are_accepted(url: str) -> None:
    assert Settings(jwt_issuer=url, jwt_audience="a", jwt_jwks_url=url).jwt_issuer == url


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jwt_issuer": ISSUER}, "CONVERTO_JWT_AUDIENCE is required"),
        ({"jwt_issuer": ISSUER, "jwt_audience": " , "}, "CONVERTO_JWT_AUDIENCE is required"),
        ({"jwt_audience": "a"}, "need CONVERTO_JWT_ISSUER"),
        ({"jwt_jwks_url": ISSUER}, "need CONVERTO_JWT_ISSUER"),
        ({"jwt_issuer": "http://issuer.example", "jwt_audience": "a"}, "must start with https://"),
        ({"jwt_issuer": "http://127.0.0.1.evil.example", "jwt_audience": "a"}, "must start with https://"),
        ({"jwt_issuer": "http://localhost@evil.example", "jwt_audience": "a"}, "no user name"),
        ({"jwt_issuer": "issuer.example", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a:x", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://[x", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a\n.b", "jwt_audience": "a"}, "must be a URL"),
        ({"jwt_issuer": "https://a/#x", "jwt_audience": "a"}, "fragment"),
        (
            {"jwt_issuer": ISSUER, "jwt_audience": "a", "jwt_jwks_url": "http://keys.example"},
            "must start with https://",
        ),
        ({"jwt_owner_claim": "aud"}, "must tell users apart"),
        ({"jwt_owner_claim": ""}, "must tell users apart"),
        ({"jwt_owner_claim": "azp"}, "must tell users apart"),
        ({"jwt_owner_claim": "client_id"}, "must tell users apart"),
        ({"jwt_owner_claim": "auth_time"}, "must tell users apart"),
        ({"jwt_owner_claim": "nonce"}, "must tell users apart"),
        ({"jwt_owner_claim": 'a"b'}, "printable ASCII"),
        ({"jwt_scope_prefix": "converto/ "}, "printable ASCII"),
        ({"jwt_leeway_s": -1}, "greater than or equal to 0"),
        ({"jwt_leeway_s": 3600}, "less than or equal to 300"),
    ],
)
def test_unsafe_token_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        Settings(**settings)


ON_AWS = "mongodb://db.example:27017/?tls=true&tlsCAFile={}&replicaSet=rs0&readPreference=primary&retryWrites=false"


async def test_url_of_documentdb_is_what_the_driver_gets(tmp_path: Path) -> None:
    """The output `url` of terraform/modules/database."""
    authorities = make_certificates(tmp_path).authority
    url, password = SecretStr(ON_AWS.format(authorities)), SecretStr("p")

    async with make_client(Settings(mongodb_url=url, mongodb_user="u", mongodb_password=password)) as client:
        options = client.options

    assert options.replica_set_name == "rs0"
    assert options.retry_writes is False
    assert options.read_preference.mongos_mode == "primary"
    assert options.pool_options._ssl_context is not None
    assert options.pool_options._ssl_context.verify_mode == ssl.CERT_REQUIRED


def test_missing_file_of_authorities_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVERTO_MONGODB_URL", ON_AWS.format("/nowhere/amazon-rds.pem"))

    assert load_settings() is None
    assert capsys.readouterr().err == (
        "CONVERTO_MONGODB_URL: tlsCAFile names /nowhere/amazon-rds.pem, but there is no such file\n"
    )


@pytest.mark.parametrize("owner", ["local", "ops-team_2", "a.b", "A" * 200])
def test_plain_owners_of_the_bootstrap_key_are_accepted(owner: str) -> None:
    assert Settings(bootstrap_owner=owner).bootstrap_owner == owner


@pytest.mark.parametrize("owner", ["", ".", "..", "a/in/b", "a:b", "a b", "ä", "a\n", "oidc.anna", "A" * 201])
def test_other_owners_of_the_bootstrap_key_are_refused(owner: str) -> None:
    """An owner is part of object keys and of ids; `oidc.` starts the owners of tokens."""
    with pytest.raises(ValidationError, match="bootstrap_owner"):
        Settings(bootstrap_owner=owner)


def numeric(name: str) -> bool:
    return bool({float, int} & set(types_in(Settings.model_fields[name].annotation)))


def types_in(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [one for part in inner for one in types_in(part)] if inner else [annotation]


FLOATS = sorted(name for name, one in Settings.model_fields.items() if float in types_in(one.annotation))
DURATIONS = sorted(name for name in Settings.model_fields if name.endswith("_s") and numeric(name))


@pytest.mark.parametrize("name", FLOATS)
def test_numbers_must_be_finite(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("inf", "-inf", "nan", "1e999"):
        monkeypatch.setenv(f"CONVERTO_{name.upper()}", number)
        with pytest.raises(ValidationError, match=name):
            Settings()


@pytest.mark.parametrize("name", DURATIONS)
def test_times_end_before_the_stores_overflow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("1" + "0" * 12, "1" + "0" * 30):
        monkeypatch.setenv(f"CONVERTO_{name.upper()}", number)
        with pytest.raises(ValidationError, match=name):
            Settings()


def test_all_kinds_of_times_are_found() -> None:
    assert {"upload_looks_s", "jwt_leeway_s", "source_retention_s", "sse_ping_s"} <= set(FLOATS)
    assert {"upload_looks_s", "idempotency_ttl_s", "upload_url_ttl_s"} <= set(DURATIONS)
    assert set(FLOATS) <= set(DURATIONS)


def test_times_of_a_century_are_accepted() -> None:
    assert Settings(record_retention_s=100 * 365 * 86_400).record_retention_s == 3_153_600_000


@pytest.mark.parametrize("keys", ["ab" * 32, f"{'ab' * 32}, {'CD' * 32}"])
def test_sealing_keys_are_read_in_order(keys: str) -> None:
    read = Settings(sealing_key=SecretStr(keys)).sealing_keys

    assert read[0] == b"\xab" * 32
    assert all(len(key) == 32 for key in read)


@pytest.mark.parametrize("nothing", [None, SecretStr(""), SecretStr("none")])
def test_installation_may_have_no_sealing_key(nothing: SecretStr | None) -> None:
    assert Settings(sealing_key=nothing).sealing_keys == ()


@pytest.mark.parametrize("wrong", ["short", "zz" * 32, "ab" * 31, f"{'ab' * 32},", f"{'ab' * 32};{'cd' * 32}"])
def test_malformed_sealing_key_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(ValidationError, match="64 hexadecimal digits") as caught:
        Settings(sealing_key=SecretStr(wrong))

    assert wrong not in str(caught.value)
