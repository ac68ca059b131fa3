"""A release that works: order, what ECS is asked for, the smoke test, draining, doing it twice (M17)."""

import json

from tests.unit.deploy.aws.conftest import PAUSE, Cluster, image


def test_release_reaches_every_service(cluster: Cluster) -> None:
    status = cluster.run("deploy")

    assert status == 0
    assert cluster.digits() == "222"
    assert cluster.scheduled_image() == image("file-service", "2")
    assert cluster.lines[-1] == "release v2 runs everywhere"


def test_workers_run_before_the_file_service_changes(cluster: Cluster) -> None:
    cluster.run("deploy")
    updated = [request["service"] for request in cluster.ecs.deploying()]
    lines = cluster.lines

    assert updated == ["worker-office", "worker-image", "file-service"]
    assert lines.index("worker-image: runs converto-test-worker-image:2") < lines.index(
        "file-service: converto-test-file-service:1 → converto-test-file-service:2"
    )


def test_file_service_is_deployed_blue_green(cluster: Cluster) -> None:
    cluster.run("deploy")
    (request,) = [one for one in cluster.ecs.deploying() if one["service"] == "file-service"]

    assert request["deploymentConfiguration"] == {
        "strategy": "BLUE_GREEN",
        "bakeTimeInMinutes": 5,
        "minimumHealthyPercent": 100,
        "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "alarms": {"alarmNames": ["converto-test-errors"], "enable": True, "rollback": True},
        "lifecycleHooks": [
            {
                "targetType": "PAUSE",
                "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
                "timeoutConfiguration": {"timeoutInMinutes": 25, "action": "ROLLBACK"},
            }
        ],
    }
    (balancer,) = request["loadBalancers"]
    assert balancer["advancedConfiguration"]["testListenerRule"] == "arn:rule/test"


def test_load_balancer_is_configured_once(cluster: Cluster) -> None:
    cluster.run("deploy")
    (balancer,) = cluster.ecs.services["file-service"]["loadBalancers"]
    advanced = balancer["advancedConfiguration"]
    # ECS swaps the two groups with each deployment.
    balancer["targetGroupArn"], advanced["alternateTargetGroupArn"] = "arn:tg/green", "arn:tg/blue"
    cluster.run("deploy", "3")
    last = cluster.ecs.deploying()[-1]

    assert last["service"] == "file-service"
    assert "loadBalancers" not in last


def test_smoke_test_runs_before_production_traffic(cluster: Cluster) -> None:
    cluster.run("deploy")
    (smoke,) = cluster.ecs.requests("RunTask")
    changes = cluster.ecs.changes()

    assert smoke["taskDefinition"].endswith("converto-test-file-service:2")
    assert smoke["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"] == ["sg-1"]
    (override,) = smoke["overrides"]["containerOverrides"]
    assert override["command"] == [
        *("python", "/opt/converto/smoke.py", "--url", "https://internal.example.com:8443"),
        *("--within", "600", "--server-name", "api.example.com"),
    ]
    assert changes.index("RunTask") < changes.index("ContinueServiceDeployment")
    assert [one for one in cluster.ecs.traffic if one[0] == "file-service"] == [
        ("file-service", smoke["taskDefinition"])
    ]


def test_smoke_test_runs_where_the_service_runs(cluster: Cluster) -> None:
    strategy = [{"capacityProvider": "FARGATE", "weight": 1, "base": 1}]
    cluster.ecs.services["file-service"]["capacityProviderStrategy"] = strategy
    cluster.run("deploy")
    (smoke,) = cluster.ecs.requests("RunTask")

    assert smoke["capacityProviderStrategy"] == strategy
    assert "launchType" not in smoke


def test_second_run_changes_nothing(cluster: Cluster) -> None:
    cluster.run("deploy")
    before = len(cluster.ecs.changes())
    status = cluster.run("deploy")

    assert status == 0
    assert len(cluster.ecs.changes()) == before
    assert "runs converto-test-file-service:2 with this image already" in cluster.text


def test_run_after_a_lost_one_follows_its_deployment(cluster: Cluster) -> None:
    """The first process was killed while its deployment waited for the smoke test."""
    cluster.kill_deployment_at(PAUSE)
    updates = len(cluster.ecs.deploying())
    status = cluster.run("deploy")

    assert status == 0
    assert cluster.digits() == "222"
    assert len(cluster.ecs.deploying()) == updates
    assert "a deployment of this image is running, following it" in cluster.text


def test_settings_of_the_latest_revision_are_kept(cluster: Cluster) -> None:
    """Terraform registers a revision when a setting changes; the rollout puts its image into that one."""
    latest = dict(cluster.ecs.definitions[cluster.ecs.serving["file-service"]], cpu="2048")
    cluster.ecs._register({name: latest[name] for name in ("family", "containerDefinitions", "cpu")})
    cluster.run("deploy")
    running = cluster.ecs.definitions[cluster.ecs.serving["file-service"]]

    assert running["cpu"] == "2048"
    assert running["containerDefinitions"][0]["image"] == image("file-service", "2")
    assert {"key": "converto:release", "value": "v2"} in running["tags"]


def test_busy_old_workers_do_not_hold_up_the_release(cluster: Cluster) -> None:
    busy = cluster.ecs.busy("worker-office")
    lines_at_file_service: list[int] = []

    def note_when_the_file_service_starts() -> None:
        if any(not one.is_blue_green for one in cluster.ecs.deployments) and len(cluster.ecs.deployments) == 3:
            lines_at_file_service.append(len(cluster.ecs.protected))

    cluster.ecs.on_sleep = note_when_the_file_service_starts
    status = cluster.run("deploy")

    assert status == 0
    assert lines_at_file_service[0] == len(busy)
    assert cluster.digits() == "222"


def test_old_workers_hand_back_after_the_drain_time(cluster: Cluster) -> None:
    busy = cluster.ecs.busy("worker-office")
    status = cluster.run("deploy")
    (released,) = cluster.ecs.requests("UpdateTaskProtection")

    assert status == 0
    assert (released["tasks"], released["protectionEnabled"]) == (busy, False)
    assert cluster.ecs.now_s > 20 * 60
    assert not set(busy) & set(cluster.ecs.tasks)


def test_without_a_drain_time_old_workers_finish_alone(cluster: Cluster) -> None:
    cluster.environment["drain_minutes"] = 0
    cluster.ecs.busy("worker-office")
    status = cluster.run("deploy")

    assert status == 0
    assert cluster.ecs.requests("UpdateTaskProtection") == []
    assert "worker-office: 2 old workers end when they become idle" in cluster.lines


def test_service_scaled_to_zero_is_released(cluster: Cluster) -> None:
    cluster.ecs.add_service("worker-media", image("worker-media", "1"), count=0)
    cluster.environment["workers"].append({"service": "worker-media", "container": "worker-media"})
    status = cluster.run("deploy", "2", **{"worker-media": image("worker-media", "2")})

    assert status == 0
    assert cluster.ecs.image("worker-media") == image("worker-media", "2")


def test_throttled_looks_are_repeated(cluster: Cluster) -> None:
    cluster.ecs.refuse("DescribeServiceDeployments", *["ThrottlingException"] * 4, "ServerException")
    status = cluster.run("deploy")

    assert status == 0
    assert "ThrottlingException" in cluster.text


def test_throttled_answer_to_the_pause_is_repeated(cluster: Cluster) -> None:
    cluster.ecs.refuse("ContinueServiceDeployment", "ThrottlingException", "ThrottlingException")
    status = cluster.run("deploy")

    assert status == 0
    assert len(cluster.ecs.requests("RunTask")) == 1
    assert len(cluster.ecs.requests("ContinueServiceDeployment")) == 3


def test_dry_run_prints_every_call_and_changes_nothing(cluster: Cluster) -> None:
    status = cluster.run("deploy", "2", "--dry-run")
    called = [line.split()[2].removeprefix("ecs.") for line in cluster.lines if line.startswith("would call")]
    update = next(line for line in cluster.lines if "update_service" in line and "file-service" in line)

    assert status == 0
    assert cluster.ecs.changes() == []
    assert called == [
        *("register_task_definition", "update_service") * 3,
        *("run_task", "continue_service_deployment", "update_service", "register_task_definition"),
    ]
    assert json.loads(update[update.index("{") :])["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"


def test_dry_run_asks_for_what_a_real_run_asks(cluster: Cluster) -> None:
    cluster.run("deploy", "2", "--dry-run")
    printed = [line[line.index("{") :] for line in cluster.lines if "would call ecs.register" in line]
    cluster.run("deploy")

    assert [json.loads(one) for one in printed] == cluster.ecs.requests("RegisterTaskDefinition")


def test_status_names_both_colours_during_a_deployment(cluster: Cluster) -> None:
    cluster.kill_deployment_at("BAKE_TIME")
    status = cluster.run("status")

    assert status == 3
    assert "file-service:1" in cluster.lines[0]
    assert "file-service:2" in cluster.lines[0]
    assert "IN_PROGRESS BAKE_TIME, can be rolled back" in cluster.text


def test_status_of_a_finished_release_is_clean(cluster: Cluster) -> None:
    cluster.run("deploy")

    assert cluster.run("status") == 0
    assert all(image(name, "2") in cluster.text for name in ("file-service", "worker-office", "worker-image"))
