"""A rollout that a signal or a fault of its own ends: at any moment everything goes back, and it says so (M17)."""

import signal
from collections.abc import Callable
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from tests.unit.deploy.aws.conftest import PAUSE, Cluster, image

Action = Callable[[], None]


class Lines(list[str]):
    """Lines of the report; when one holds a text for the first time, something happens."""

    def __init__(self, text: str, action: Action) -> None:
        super().__init__()
        self.text, self.action = text, action

    def append(self, line: str) -> None:
        super().append(line)
        if self.text and self.text in line:
            self.text = ""
            self.action()

    def then(self, text: str, action: Action) -> None:
        """Wait for another text."""
        self.text, self.action = text, action


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def broken() -> None:
    raise KeyError("networkConfiguration")


def passed(cluster: Cluster) -> Cluster:
    """Let ECS do what it was asked for."""
    cluster.ecs.on_sleep = lambda: None
    for _ in range(20):
        cluster.ecs.pass_time(10)
    return cluster


POINTS = [
    *("worker-office: registered", "worker-office: converto-test-worker-office:1 →", "worker-office: runs"),
    *("worker-image: runs", "file-service: registered", "file-service: IN_PROGRESS SCALE_UP"),
    *("smoke test: started", "smoke test: passed", "file-service: IN_PROGRESS BAKE_TIME", "file-service: runs"),
    *("clearing the pause", "housekeeping: registered", "release v2 runs everywhere"),
]


@pytest.mark.parametrize("point", POINTS)
def test_signal_at_any_point_takes_everything_back(cluster: Cluster, point: str) -> None:
    cluster.lines = Lines(point, terminate)
    status = cluster.run("deploy")
    passed(cluster)

    assert status == 130, cluster.text
    assert cluster.digits() == "111"
    assert cluster.scheduled_image() == image("file-service", "1")
    assert cluster.lines[-1] == "check with `rollout status`"
    assert "before anything was changed" not in cluster.text


@pytest.mark.parametrize("point", POINTS)
def test_fault_at_any_point_takes_everything_back(cluster: Cluster, point: str) -> None:
    cluster.lines = Lines(point, broken)
    status = cluster.run("deploy")

    assert status == 1, cluster.text
    assert cluster.digits() == "111"
    assert cluster.scheduled_image() == image("file-service", "1")
    assert "failed: KeyError: 'networkConfiguration' (test_interrupted.py, line" in cluster.text


@pytest.mark.parametrize("point", ["failed:", "file-service: runs converto", "back to", "worker-office: IN_PROGRESS"])
def test_signal_on_the_way_back_asks_for_the_rest(cluster: Cluster, point: str) -> None:
    lines = cluster.lines = Lines("the smoke test failed", terminate)
    if point != "failed:":
        lines.action = lambda: lines.then(point, terminate)
    cluster.ecs.smoke_exit_code = 1
    status = cluster.run("deploy")
    passed(cluster)

    assert status == 130, cluster.text
    assert cluster.digits() == "111"
    assert "before anything was changed" not in cluster.text


def test_signal_while_a_deployment_is_being_stopped(cluster: Cluster) -> None:
    def fail() -> None:
        lines.then("rolling the running deployment back", terminate)
        broken()

    lines = cluster.lines = Lines(PAUSE, fail)
    status = cluster.run("deploy")

    assert status == 130
    assert passed(cluster).digits() == "111"


def test_signal_before_the_first_change_changes_nothing(cluster: Cluster) -> None:
    describe = cluster.ecs.describe_services

    def interrupt(request: dict[str, Any]) -> dict[str, Any]:
        terminate()
        return describe(request)

    cluster.ecs.describe_services = interrupt  # type: ignore[method-assign]
    status = cluster.run("deploy")

    assert status == 130
    assert cluster.ecs.changes() == []
    assert cluster.lines == ["interrupted before anything was changed"]


def test_interrupted_rollback_says_what_is_left(cluster: Cluster) -> None:
    cluster.run("deploy")
    cluster.lines = Lines("retiring", terminate)
    status = cluster.run("rollback")

    assert status == 130
    assert cluster.digits() == "111"
    assert "run the same command again" in cluster.lines[-1]
    assert cluster.run("rollback") == 0
    assert cluster.scheduled_image() == image("file-service", "1")


def test_refused_request_on_a_signal_is_half_way(cluster: Cluster) -> None:
    def refuse() -> None:
        cluster.ecs.refuse("StopServiceDeployment", *["AccessDeniedException"] * 9)
        terminate()

    cluster.lines = Lines("SCALE_UP", refuse)
    status = cluster.run("deploy")

    assert status == 3
    assert "NOT IN ORDER: ecs.stop_service_deployment" in cluster.text


def test_fault_on_the_way_back_is_half_way(cluster: Cluster) -> None:
    def fail(_request: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("deployments")

    def blind() -> None:
        cluster.ecs.list_service_deployments = fail  # type: ignore[method-assign]
        broken()

    cluster.lines = Lines("SCALE_UP", blind)
    status = cluster.run("deploy")

    assert status == 3
    assert "NOT IN ORDER: KeyError: 'deployments'" in cluster.text
    assert "file-service ran converto-test-file-service:1 before" in cluster.text


def test_reader_who_goes_away_ends_nothing(cluster: Cluster) -> None:
    def no_reader() -> None:
        raise BrokenPipeError

    cluster.lines = Lines(PAUSE, no_reader)

    assert cluster.run("deploy") == 0
    assert cluster.digits() == "222"


def test_unreadable_answer_is_looked_at_again(cluster: Cluster) -> None:
    describe, faults = cluster.ecs.describe_service_deployments, [ResponseParserError("<html>")]

    def once(request: dict[str, Any]) -> dict[str, Any]:
        if faults:
            raise faults.pop()
        return describe(request)

    cluster.ecs.describe_service_deployments = once  # type: ignore[method-assign]

    assert cluster.run("deploy") == 0
    assert "ecs.describe_service_deployments: <html>; looking again" in cluster.text


def test_fault_of_the_first_look_is_not_a_rollback(cluster: Cluster) -> None:
    def fail(_request: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("services")

    cluster.ecs.describe_services = fail  # type: ignore[method-assign]
    status = cluster.run("deploy")

    assert status == 3
    assert cluster.ecs.changes() == []
    assert "a fault of this program, look at the services with `rollout status`: KeyError" in cluster.text


def test_failed_last_part_takes_the_schedules_back(cluster: Cluster) -> None:
    cluster.environment["scheduled"] *= 2
    register, names = cluster.ecs.register_task_definition, list[str]()

    def second_fails(request: dict[str, Any]) -> dict[str, Any]:
        names.append(request["family"])
        if names.count("converto-test-housekeeping") == 2:
            raise KeyError("tags")
        return register(request)

    cluster.ecs.register_task_definition = second_fails  # type: ignore[method-assign]
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert cluster.scheduled_image() == image("file-service", "1")
