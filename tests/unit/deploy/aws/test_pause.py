"""The pause for the smoke test belongs to one rollout; every other deployment must go through without it (M17)."""

import json
import shlex

import pytest

from deploy.aws.rotation.deployments import start_deployments
from deploy.aws.rotation.errors import RotationFailed
from tests.unit.deploy.aws.conftest import PAUSE, Cluster
from tests.unit.deploy.aws.ecs_double import Client


def hooks(cluster: Cluster) -> list[object]:
    """The lifecycle hooks that the next deployment of the file service will have."""
    return list(cluster.ecs.services["file-service"]["deploymentConfiguration"].get("lifecycleHooks", []))


def interrupted(cluster: Cluster) -> None:
    """A rollout that died in the pause; ECS has rolled back, and the hook is still there."""
    cluster.kill_deployment_at(PAUSE)
    for _ in range(200):
        cluster.ecs.pass_time(10)
    assert cluster.digits()[0] == "1"
    assert hooks(cluster)


def refuse_to_clear(cluster: Cluster, code: str, *, times: int = 99) -> None:
    """Refuse a change of the file service that starts no deployment."""
    update, left = cluster.ecs.update_service, [code] * times

    def only_deployments(request: dict[str, object]) -> dict[str, object]:
        if "taskDefinition" not in request and left:
            cluster.ecs.refuse("UpdateService", left.pop())
            return cluster.ecs.answer("UpdateService", request)
        return update(request)

    cluster.ecs.update_service = only_deployments  # type: ignore[method-assign]


def test_successful_rollout_leaves_no_pause(cluster: Cluster) -> None:
    assert cluster.run("deploy") == 0
    last = cluster.ecs.requests("UpdateService")[-1]

    assert hooks(cluster) == []
    assert len(cluster.ecs.deployments) == 3
    assert "forceNewDeployment" not in last
    assert last["deploymentConfiguration"]["bakeTimeInMinutes"] == 5
    assert last["deploymentConfiguration"]["alarms"]["enable"] is True


def test_refused_release_leaves_no_pause(cluster: Cluster) -> None:
    cluster.ecs.smoke_exit_code = 1

    assert cluster.run("deploy") == 1
    assert hooks(cluster) == []
    assert cluster.digits() == "111"


def test_forced_deployment_after_a_rollout_does_not_wait(cluster: Cluster) -> None:
    cluster.run("deploy")
    cluster.ecs.update_service({"service": "file-service", "forceNewDeployment": True})
    for _ in range(60):
        cluster.ecs.pass_time(10)

    assert cluster.ecs.deployments[-1].status == "SUCCESSFUL"


@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_next_run_clears_what_a_killed_one_left(cluster: Cluster, command: str) -> None:
    interrupted(cluster)

    assert cluster.run(command) == 0
    assert hooks(cluster) == []


def test_status_names_a_pause_that_was_left(cluster: Cluster) -> None:
    interrupted(cluster)
    status = cluster.run("status")
    (line,) = [line for line in cluster.lines if "aws ecs update-service" in line]
    words = shlex.split(line.partition(": aws ")[2])
    options = dict(zip(words[2::2], words[3::2], strict=True))

    assert status == 3
    assert options["--service"] == "file-service"
    assert json.loads(options["--deployment-configuration"])["lifecycleHooks"] == []


def test_pause_that_cannot_be_cleared_is_no_quiet_success(cluster: Cluster) -> None:
    refuse_to_clear(cluster, "AccessDeniedException")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (3, "222")
    assert "release v2 runs everywhere" in cluster.lines
    assert cluster.lines[-1].startswith("NOT IN ORDER: ecs.update_service")
    assert "aws ecs update-service --cluster converto-test --service file-service" in cluster.lines[-1]
    assert cluster.scheduled_image().endswith("2")


def test_rollback_reports_a_pause_that_stays(cluster: Cluster) -> None:
    cluster.ecs.smoke_exit_code = 1
    refuse_to_clear(cluster, "AccessDeniedException")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (3, "111")
    assert any("NOT IN ORDER" in line and "aws ecs update-service" in line for line in cluster.lines)


def test_throttled_clearing_is_repeated(cluster: Cluster) -> None:
    refuse_to_clear(cluster, "ThrottlingException", times=2)

    assert cluster.run("deploy") == 0
    assert hooks(cluster) == []


def test_rotation_restarts_without_the_pause_that_was_left(cluster: Cluster, client: Client) -> None:
    interrupted(cluster)
    start_deployments(client.boto, "converto-test", ("file-service", "worker-office"))
    for _ in range(60):
        cluster.ecs.pass_time(10)

    assert [one.status for one in cluster.ecs.deployments[-2:]] == ["SUCCESSFUL", "SUCCESSFUL"]
    assert hooks(cluster) == []
    assert "deploymentConfiguration" not in cluster.ecs.requests("UpdateService")[-1]


def test_rotation_does_not_push_an_untried_release_through(cluster: Cluster, client: Client) -> None:
    cluster.kill_deployment_at(PAUSE)
    updates = len(cluster.ecs.requests("UpdateService"))
    with pytest.raises(RotationFailed, match="file-service"):
        start_deployments(client.boto, "converto-test", ("file-service",))

    assert len(cluster.ecs.requests("UpdateService")) == updates
    assert hooks(cluster)
