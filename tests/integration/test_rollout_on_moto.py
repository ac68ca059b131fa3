"""A rollout against moto: the real calls register, update and run what ECS is asked for (M17).

moto has no service deployments; those few operations are answered here, everything else by moto.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from deploy.aws.clock import Clock
from deploy.aws.ecs import Ecs
from deploy.aws.rollout import main

REGION, CLUSTER = "eu-central-1", "converto-test"
SERVICES = ("file-service", "worker-office")
OLD, NEW = "1" * 64, "2" * 64


def image(name: str, digest: str) -> str:
    return f"111122223333.dkr.ecr.{REGION}.amazonaws.com/converto/{name}@sha256:{digest}"


class NoTime(Clock):
    """Nothing has to be waited for."""

    def sleep(self, seconds: float) -> None:
        pass


class Account:
    """An account with a cluster whose services run the old images."""

    def __init__(self) -> None:
        self.ecs = boto3.client("ecs", region_name=REGION)
        self.deployments: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVICES}
        self.updates: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVICES}
        ec2 = boto3.client("ec2", region_name=REGION)
        self.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        self.group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.ecs.create_cluster(clusterName=CLUSTER)
        for name in SERVICES:
            self._create(name)
        events = self.ecs.meta.events
        events.register("before-call.ecs.ListServiceDeployments", self._list)
        events.register("before-call.ecs.DescribeServiceDeployments", self._describe)
        events.register("after-call.ecs.UpdateService", self._updated)

    def _create(self, name: str) -> None:
        self.ecs.register_task_definition(
            family=f"{CLUSTER}-{name}",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="512",
            memory="1024",
            containerDefinitions=[{"name": name, "image": image(name, OLD), "memory": 1024}],
        )
        subnets = {"subnets": [self.subnet], "securityGroups": [self.group], "assignPublicIp": "DISABLED"}
        self.ecs.create_service(
            cluster=CLUSTER,
            serviceName=name,
            taskDefinition=f"{CLUSTER}-{name}",
            desiredCount=0,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": subnets},
        )

    def _updated(self, parsed: dict[str, Any], **_: Any) -> None:
        service = parsed["service"]
        self.updates[service["serviceName"]].append(dict(service["deploymentConfiguration"]))
        listed = self.deployments[service["serviceName"]]
        arn = f"arn:aws:ecs:{REGION}:111122223333:service-deployment/{CLUSTER}/{service['serviceName']}/{len(listed)}"
        strategy = service["deploymentConfiguration"]["strategy"]
        listed.append({"serviceDeploymentArn": arn, "createdAt": datetime.now(UTC), "strategy": strategy, "polls": 0})

    def _list(self, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        request = json.loads(params["body"])
        found = [] if "status" in request else self.deployments[request["service"]]
        names = ("serviceDeploymentArn", "createdAt")
        answer = [{name: one[name] for name in names} | {"targetServiceRevisionArn": "arn"} for one in found]
        return SimpleNamespace(status_code=200), {"serviceDeployments": answer}

    def _describe(self, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        (arn,) = json.loads(params["body"])["serviceDeploymentArns"]
        (one,) = [one for listed in self.deployments.values() for one in listed if one["serviceDeploymentArn"] == arn]
        return SimpleNamespace(status_code=200), {"serviceDeployments": [{**one, "status": "SUCCESSFUL"}]}

    def service(self, name: str) -> dict[str, Any]:
        return dict(self.ecs.describe_services(cluster=CLUSTER, services=[name])["services"][0])

    def image(self, name: str) -> str:
        definition = self.ecs.describe_task_definition(taskDefinition=self.service(name)["taskDefinition"])
        return str(definition["taskDefinition"]["containerDefinitions"][0]["image"])


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Account()


def run(account: Account, folder: Path, *arguments: str) -> tuple[int, str]:
    file_service = {
        **{"service": "file-service", "container": "file-service", "port": 8080},
        "target_groups": {"blue": "arn:tg/blue", "green": "arn:tg/green"},
        **{"production_rule": "arn:rule/1", "test_rule": "arn:rule/2", "infrastructure_role": "arn:aws:iam::1:role/e"},
        **{"smoke": {"url": "https://internal:8443"}, "alarms": ["errors"]},
    }
    workers = [{"service": "worker-office", "container": "worker-office"}]
    environment = {"region": REGION, "cluster": CLUSTER, "file_service": file_service, "workers": workers}
    release = {"release": "v2", "images": {name: image(name, NEW) for name in SERVICES}}
    for name, content in (("environment", environment), ("release", release)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = ["--environment", str(folder / "environment.json"), "--release", str(folder / "release.json")]
    lines: list[str] = []

    def connect(_region: str, cluster: str, **more: Any) -> Ecs:
        return Ecs(account.ecs, cluster, **more)

    return main(["deploy", *files, *arguments], connect=connect, clock=NoTime(), report=lines.append), "\n".join(lines)


def test_moto_runs_the_release_blue_green_and_rolling(account: Account, tmp_path: Path) -> None:
    status, text = run(account, tmp_path)
    file_service, worker = account.service("file-service"), account.service("worker-office")
    (balancer,) = file_service["loadBalancers"]

    assert status == 0, text
    assert [account.image(name) for name in SERVICES] == [image(name, NEW) for name in SERVICES]
    assert file_service["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"
    assert account.updates["file-service"][0]["lifecycleHooks"][0]["targetType"] == "PAUSE"
    assert file_service["deploymentConfiguration"]["lifecycleHooks"] == []
    assert balancer["advancedConfiguration"]["alternateTargetGroupArn"] == "arn:tg/green"
    assert worker["deploymentConfiguration"]["strategy"] == "ROLLING"


def test_second_rollout_on_moto_registers_nothing(account: Account, tmp_path: Path) -> None:
    run(account, tmp_path)
    registered = account.ecs.list_task_definitions()["taskDefinitionArns"]
    status, text = run(account, tmp_path)

    assert status == 0, text
    assert account.ecs.list_task_definitions()["taskDefinitionArns"] == registered
    assert text.count("with this image already") == 2


def test_dry_run_leaves_moto_as_it_was(account: Account, tmp_path: Path) -> None:
    status, text = run(account, tmp_path, "--dry-run")

    assert status == 0, text
    assert [account.image(name) for name in SERVICES] == [image(name, OLD) for name in SERVICES]
    assert text.count("would call ecs.register_task_definition") == 2


def test_moto_runs_and_stops_a_task_of_the_revision(account: Account) -> None:
    ecs = Ecs(account.ecs, CLUSTER, report=lambda _: None)
    network = account.service("file-service")["networkConfiguration"]
    arn = ecs.run_task(
        taskDefinition=f"{CLUSTER}-file-service",
        launchType="FARGATE",
        networkConfiguration=network,
        overrides={"containerOverrides": [{"name": "file-service", "command": ["python", "smoke.py"]}]},
        startedBy="converto-rollout",
    )
    (started,) = ecs.tasks([arn])
    ecs.stop_task(arn, "enough")

    assert started["startedBy"] == "converto-rollout"
    assert ecs.tasks([arn])[0]["desiredStatus"] == "STOPPED"
