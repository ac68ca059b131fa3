"""`rollout rollback`: takes a release back, wherever it has got to, and only that release (M17)."""

import json

from tests.unit.deploy.aws.conftest import Cluster, image


def test_release_is_taken_back_from_every_service(cluster: Cluster) -> None:
    cluster.run("deploy")
    status = cluster.run("rollback")

    assert status == 0
    assert cluster.digits() == "111"
    assert cluster.scheduled_image() == image("file-service", "1")


def test_file_service_goes_back_first_and_without_a_trial(cluster: Cluster) -> None:
    cluster.run("deploy")
    before = len(cluster.ecs.requests("UpdateService"))
    cluster.run("rollback")
    requests = cluster.ecs.requests("UpdateService")[before:]

    assert [one["service"] for one in requests] == ["file-service", "worker-office", "worker-image"]
    assert requests[0]["deploymentConfiguration"]["bakeTimeInMinutes"] == 0
    assert requests[0]["deploymentConfiguration"]["lifecycleHooks"] == []


def test_second_rollback_changes_nothing(cluster: Cluster) -> None:
    cluster.run("deploy")
    cluster.run("rollback")
    before = len(cluster.ecs.changes())
    status = cluster.run("rollback")

    assert (status, cluster.digits()) == (0, "111")
    assert len(cluster.ecs.changes()) == before


def test_running_deployment_is_rolled_back(cluster: Cluster) -> None:
    cluster.kill_deployment_at("BAKE_TIME")
    status = cluster.run("rollback")

    assert (status, cluster.digits()) == (0, "111")
    assert len(cluster.ecs.requests("StopServiceDeployment")) == 1


def test_deregistered_revision_is_registered_again(cluster: Cluster) -> None:
    old = cluster.ecs.serving["file-service"]
    cluster.run("deploy")
    cluster.ecs.definitions[old]["status"] = "INACTIVE"
    status = cluster.run("rollback")

    assert (status, cluster.digits()) == (0, "111")
    assert cluster.ecs.serving["file-service"] != old


def test_release_that_runs_nowhere_is_nothing_to_do(cluster: Cluster) -> None:
    status = cluster.run("rollback", "7")

    assert status == 0
    assert cluster.ecs.changes() == []


def test_unknown_past_is_refused_before_any_change(cluster: Cluster) -> None:
    status = cluster.run("rollback", "1")

    assert status == 2
    assert cluster.ecs.changes() == []
    assert "Deploy the release to return to" in cluster.text


def test_dry_run_names_the_way_back(cluster: Cluster) -> None:
    cluster.run("deploy")
    before = len(cluster.ecs.changes())
    status = cluster.run("rollback", "2", "--dry-run")
    updates = [json.loads(line[line.index("{") :]) for line in cluster.lines if "ecs.update_service" in line]

    assert status == 0
    assert len(cluster.ecs.changes()) == before
    assert [one["taskDefinition"].rpartition("/")[2] for one in updates] == [
        *("converto-test-file-service:1", "converto-test-worker-office:1", "converto-test-worker-image:1"),
    ]
