"""Fixtures of the rollout's tests."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.aws.ecs import Ecs
from deploy.aws.rollout import main
from tests.unit.deploy.aws.ecs_double import Client, EcsDouble, FakeTime

REGISTRY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/converto"
PAUSE = "POST_TEST_TRAFFIC_SHIFT"
WORKERS = ("worker-office", "worker-image")
ENVIRONMENT: dict[str, Any] = {
    "region": "eu-central-1",
    "cluster": "converto-test",
    "file_service": {
        "service": "file-service",
        "container": "file-service",
        "port": 8080,
        "target_groups": {"blue": "arn:tg/blue", "green": "arn:tg/green"},
        "production_rule": "arn:rule/production",
        "test_rule": "arn:rule/test",
        "infrastructure_role": "arn:aws:iam::111122223333:role/converto-test-ecs-infrastructure",
        "smoke": {"url": "https://internal.example.com:8443", "server_name": "api.example.com", "minutes": 10},
        "alarms": ["converto-test-errors"],
    },
    "workers": [{"service": name, "container": name} for name in WORKERS],
    "scheduled": [{"family": "converto-test-housekeeping", "container": "housekeeping"}],
}


def image(name: str, digit: str) -> str:
    """An image by digest; releases differ in one digit."""
    return f"{REGISTRY}/{name}@sha256:{digit * 64}"


class Cluster:
    """The double with the services of an environment, and the command line."""

    def __init__(self, client: Client, folder: Path) -> None:
        client.double = self.ecs = EcsDouble()
        self.folder, self.lines, self._client = folder, list[str](), client
        self.environment = json.loads(json.dumps(ENVIRONMENT))
        for name in ("file-service", *WORKERS):
            self.ecs.add_service(name, image(name, "1"))
        self.ecs.add_family("converto-test-housekeeping", image("file-service", "1"))

    def run(self, command: str, digit: str = "2", *arguments: str, **images: Any) -> int:
        """Run one command for the release with this digit; return its exit status."""
        named = {name: image(name, digit) for name in ("file-service", *WORKERS)} | images
        files = {"environment": self.environment, "release": {"release": f"v{digit}", "images": named}}
        for name, content in files.items():
            (self.folder / f"{name}.json").write_text(json.dumps(content))
        paths = ["--environment", str(self.folder / "environment.json")]
        if command != "status":
            paths += ["--release", str(self.folder / "release.json")]

        def connect(_region: str, cluster: str, **more: Any) -> Ecs:
            return Ecs(self._client.boto, cluster, **more)

        self.lines.clear()
        return main([command, *paths, *arguments], connect=connect, clock=FakeTime(self.ecs), report=self.lines.append)

    def kill_deployment_at(self, stage: str) -> None:
        """Run `deploy` in a process that ends without any clean-up when the file service has reached a stage."""

        def kill() -> None:
            if any(one.stage == stage for one in self.ecs.deployments):
                raise SystemExit

        self.ecs.smoke_exit_code = None if stage == PAUSE else 0  # a smoke test that takes time
        self.ecs.on_sleep = kill
        with pytest.raises(SystemExit):
            self.run("deploy")
        self.ecs.smoke_exit_code, self.ecs.on_sleep = 0, lambda: None

    @property
    def text(self) -> str:
        """All that the last command reported."""
        return "\n".join(self.lines)

    def digits(self) -> str:
        """Which release each service runs, file service first."""
        return "".join(self.ecs.image(name)[-1] for name in ("file-service", *WORKERS))

    def scheduled_image(self) -> str:
        answer = self.ecs.describe_task_definition({"taskDefinition": "converto-test-housekeeping"})
        return str(answer["taskDefinition"]["containerDefinitions"][0]["image"])


@pytest.fixture(scope="session")
def client() -> Client:
    """One real client of boto3 for all tests."""
    return Client()


@pytest.fixture
def cluster(client: Client, tmp_path: Path, signals: None) -> Cluster:
    """A cluster in which every service runs release v1."""
    return Cluster(client, tmp_path)


@pytest.fixture
def signals() -> Iterator[None]:
    """Bring back the signal handlers that the command replaces."""
    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
