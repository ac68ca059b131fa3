"""The API key keeps its id; deployments are all tried; the configuration is what Terraform writes."""

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from converto_core.access import split_key_text
from converto_infra.settings import Settings
from deploy.aws.rotation.api_key import FirstApiKey
from deploy.aws.rotation.configuration import ApiKey, Broker, BrokerBootstrap, Database, SealingKey, load
from deploy.aws.rotation.credentials import Credentials, new_password, other_user
from deploy.aws.rotation.deployments import start_deployments
from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.sealing_key import SealingKeys


class Ecs:
    """Has the two operations of boto3 that are needed; `errors` are codes by service."""

    def __init__(self, errors: dict[str, str] | None = None) -> None:
        self.errors = errors or {}
        self.described: dict[str, Any] = {}
        self.calls: list[dict[str, Any]] = []

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        assert cluster == "converto-test"
        if (code := self.errors.get(services[0], "")).startswith("Cluster"):
            raise ClientError({"Error": {"Code": code}}, "DescribeServices")
        found = [] if services[0] in self.errors else [{"serviceName": services[0], **self.described}]
        return {"services": found}

    def update_service(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        if code := self.errors.get(arguments["service"]):
            raise ClientError({"Error": {"Code": code}}, "UpdateService")


def test_new_api_key_keeps_the_id() -> None:
    following = FirstApiKey().next_value("cvt_abc123_oldsecret")

    key_id, secret = split_key_text(following) or ("", "")
    assert key_id == "abc123"
    assert len(secret) == 64
    FirstApiKey().test(following)


def test_placeholder_becomes_an_api_key() -> None:
    first = FirstApiKey().next_value("none-before-the-first-rotation")

    FirstApiKey().test(first)
    with pytest.raises(RotationFailed, match="not an API key"):
        FirstApiKey().test("none-before-the-first-rotation")


def test_old_and_new_sealing_keys_open_each_others_seals() -> None:
    """A rotation restarts the services one after another."""
    values = ["none"]
    for _ in range(4):
        values.append(SealingKeys().next_value(values[-1]))
        SealingKeys().test(values[-1])

    keys = [value.split(",") for value in values[1:]]
    assert len({before[0] for before in keys}) == 4
    for before, after in itertools.pairwise(keys):
        assert before[0] in after
        assert after[0] in before
    assert all(Settings(sealing_key=SecretStr(value)) for value in values)


def test_sealing_key_that_was_set_by_hand_goes_on_sealing() -> None:
    own = "ab" * 32

    following = SealingKeys().next_value(own)

    assert following.startswith(f"{own},")
    with pytest.raises(RotationFailed, match="64 hexadecimal digits"):
        SealingKeys().test(f"{own},none")


def test_users_take_turns() -> None:
    names = [Credentials("stranger", "p")]
    for _ in range(3):
        names.append(other_user("converto", names[-1]))

    assert [login.username for login in names[1:]] == ["converto_a", "converto_b", "converto_a"]
    assert len({login.password for login in names}) == 4


def test_password_suits_database_and_broker() -> None:
    assert new_password().isalnum()
    assert 12 <= len(new_password()) <= 250


def test_every_service_gets_a_new_deployment() -> None:
    ecs = Ecs()

    start_deployments(ecs, "converto-test", ("file-service", "worker-image"))

    assert ecs.calls == [
        {"cluster": "converto-test", "service": "file-service", "forceNewDeployment": True},
        {"cluster": "converto-test", "service": "worker-image", "forceNewDeployment": True},
    ]


def test_pause_of_a_rollout_is_taken_off_first() -> None:
    ecs = Ecs()
    kept = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}
    ecs.described = {"deploymentConfiguration": {**kept, "lifecycleHooks": [{"targetType": "PAUSE"}]}}

    start_deployments(ecs, "converto-test", ("file-service",))

    assert ecs.calls[0]["deploymentConfiguration"] == {**kept, "lifecycleHooks": []}
    assert ecs.calls[0]["forceNewDeployment"] is True


@pytest.mark.parametrize("other", [{"status": "ACTIVE"}, {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"}])
def test_running_rollout_keeps_its_pause(other: dict[str, str]) -> None:
    ecs = Ecs()
    ecs.described = {
        "deploymentConfiguration": {"lifecycleHooks": [{"targetType": "PAUSE"}]},
        "deployments": [{"status": "PRIMARY"}, other],
    }

    with pytest.raises(RotationFailed, match="file-service"):
        start_deployments(ecs, "converto-test", ("file-service",))
    assert ecs.calls == []


def test_service_that_does_not_exist_yet_is_no_failure() -> None:
    ecs = Ecs({"file-service": "ServiceNotFoundException", "worker-image": "ClusterNotFoundException"})

    start_deployments(ecs, "converto-test", ("file-service", "worker-image"))


def test_refused_deployment_is_reported_after_the_others() -> None:
    ecs = Ecs({"file-service": "AccessDeniedException"})

    with pytest.raises(RotationFailed, match="no deployment could be started of file-service"):
        start_deployments(ecs, "converto-test", ("file-service", "worker-image"))

    assert [call["service"] for call in ecs.calls] == ["file-service", "worker-image"]


WRITTEN_BY_TERRAFORM = {
    "cluster": "converto-test",
    "secrets": {
        "d": {
            "kind": "database",
            "url": "mongodb://db/?tls=true",
            "admin_secret_arn": "m",
            "database": "converto",
            "user": "converto_test",
            "services": ["file-service"],
        },
        "b": {
            "kind": "broker",
            "url": "amqps://mq:5671/",
            "management_url": "https://mq",
            "admin_secret_arn": "a",
            "user": "converto_test",
            "services": [],
        },
        "a": {"kind": "broker_bootstrap", "management_url": "https://mq"},
        "k": {"kind": "api_key", "services": ["file-service"]},
        "s": {"kind": "sealing_key", "services": ["file-service"]},
    },
}


def test_configuration_of_terraform_is_understood() -> None:
    configuration = load({"CONVERTO_ROTATION": json.dumps(WRITTEN_BY_TERRAFORM)})

    kinds = {arn: type(configuration.secret(arn)) for arn in "dbaks"}
    assert kinds == {"d": Database, "b": Broker, "a": BrokerBootstrap, "k": ApiKey, "s": SealingKey}
    assert configuration.secret("d").services == ("file-service",)


def test_unknown_secret_is_refused() -> None:
    with pytest.raises(RotationFailed, match="x is not in CONVERTO_ROTATION"):
        load({"CONVERTO_ROTATION": json.dumps(WRITTEN_BY_TERRAFORM)}).secret("x")


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": "c", "secrets": {"d": {"kind": "mail"}}}'])
def test_unusable_configuration_names_its_variable(text: str) -> None:
    with pytest.raises(RotationFailed, match="CONVERTO_ROTATION is not usable"):
        load({"CONVERTO_ROTATION": text})
