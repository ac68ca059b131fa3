"""A release that does not work: each way it can fail, what is rolled back, and what the exit status says (M17)."""

import signal
from collections.abc import Callable

import pytest

from tests.unit.deploy.aws.conftest import PAUSE, Cluster, image
from tests.unit.deploy.aws.ecs_double import Deployment


def wrong(service: str, what: str, stage: str = "") -> Callable[[Deployment], str]:
    """Something goes wrong with the release v2 of one service, at one stage."""

    def is_going_wrong(one: Deployment) -> str:
        is_meant = one.service["serviceName"] == service and one.stage == stage and one.definition.endswith(":2")
        return what if is_meant else ""

    return is_going_wrong


def test_alarm_during_bake_time_brings_everything_back(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "alarm:converto-test-errors", "BAKE_TIME")
    status = cluster.run("deploy")

    assert status == 1
    assert cluster.digits() == "111"
    assert "alarm: converto-test-errors" in cluster.text
    assert cluster.lines[-1] == "every service runs what it ran before"
    assert cluster.scheduled_image() == image("file-service", "1")


def test_workers_go_back_after_the_file_service(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "alarm:converto-test-errors", "BAKE_TIME")
    cluster.run("deploy")
    updated = [request["service"] for request in cluster.ecs.deploying()]

    assert updated == ["worker-office", "worker-image", "file-service", "worker-image", "worker-office"]


def test_failed_smoke_test_keeps_production_on_the_old_release(cluster: Cluster) -> None:
    cluster.ecs.smoke_exit_code = 1
    status = cluster.run("deploy")
    (answer,) = cluster.ecs.requests("ContinueServiceDeployment")
    new = [one for one in cluster.ecs.traffic if one[1].endswith("file-service:2")]

    assert (status, cluster.digits(), answer["action"], new) == (1, "111", "ROLLBACK", [])
    assert "the smoke test failed (exit status 1" in cluster.text
    assert "group /converto-test/file-service, stream ecs/file-service/" in cluster.text


def test_endless_smoke_test_is_stopped_and_failed(cluster: Cluster) -> None:
    cluster.ecs.smoke_exit_code = None
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert len(cluster.ecs.requests("StopTask")) == 1
    assert "the smoke test has not ended in time" in cluster.text


def test_smoke_test_that_may_not_start_is_a_failure(cluster: Cluster) -> None:
    cluster.ecs.refuse("RunTask", "AccessDeniedException")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert "the smoke test could not be run" in cluster.text


@pytest.mark.parametrize("service", ["worker-office", "worker-image"])
def test_circuit_breaker_of_a_worker_stops_the_release(cluster: Cluster, service: str) -> None:
    cluster.ecs.is_going_wrong = wrong(service, "breaker:")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert "circuit breaker: 3 tasks failed to start" in cluster.text
    assert "file-service" not in [request["service"] for request in cluster.ecs.deploying()]


def test_circuit_breaker_of_the_file_service_brings_everything_back(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "breaker:", "SCALE_UP")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")


def test_deployment_past_its_time_limit_is_stopped(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "stuck", "SCALE_UP")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert "not finished within 60 minutes" in cluster.text
    assert len(cluster.ecs.requests("StopServiceDeployment")) == 1


def test_worker_that_never_becomes_healthy_is_stopped(cluster: Cluster) -> None:
    def keep_unhealthy() -> None:
        for task in cluster.ecs.tasks.values():
            if task["taskDefinitionArn"].endswith("worker-office:2"):
                task["lastStatus"] = "PENDING"

    cluster.ecs.busy("worker-office")
    cluster.ecs.on_sleep = keep_unhealthy
    status = cluster.run("deploy")

    assert status == 1
    assert "not finished within 30 minutes" in cluster.text


def test_worker_that_is_not_known_healthy_is_stopped(cluster: Cluster) -> None:
    cluster.ecs.busy("worker-office")
    cluster.ecs.health = "UNKNOWN"
    status = cluster.run("deploy")

    assert status == 1
    assert "worker-office: ROLLBACK_SUCCESSFUL: not finished within 30 minutes" in cluster.text


def test_rolled_back_service_is_known_by_its_revision(cluster: Cluster) -> None:
    cluster.ecs.smoke_exit_code, cluster.ecs.keeps_asked_definition = 1, True
    status = cluster.run("deploy")
    updated = [request["service"] for request in cluster.ecs.deploying()]

    assert (status, cluster.digits()) == (1, "111")
    assert updated.count("file-service") == 1


def test_failed_rollback_is_made_up_for_by_a_deployment(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "lost:no capacity", "PRODUCTION_TRAFFIC_SHIFT")
    status = cluster.run("deploy")
    update = next(one for one in reversed(cluster.ecs.requests("UpdateService")) if one["service"] == "file-service")

    assert (status, cluster.digits()) == (1, "111")
    assert update["taskDefinition"].endswith("file-service:1")
    assert "ROLLBACK_FAILED" in cluster.text


def test_failed_rollback_that_stays_is_half_way(cluster: Cluster) -> None:
    failing = wrong("file-service", "lost:no capacity", "PRODUCTION_TRAFFIC_SHIFT")

    def fail_and_refuse_the_way_back(one: Deployment) -> str:
        if what := failing(one):
            cluster.ecs.refuse("UpdateService", "AccessDeniedException")
        return what

    cluster.ecs.is_going_wrong = fail_and_refuse_the_way_back
    status = cluster.run("deploy")
    problems = [line for line in cluster.lines if line.startswith("NOT IN ORDER")]
    state = cluster.run("status")

    assert (status, state) == (3, 3)
    assert len(problems) == 1
    assert problems[0].startswith("NOT IN ORDER: ecs.update_service")
    assert "file-service ran converto-test-file-service:1 before" in problems[0]


def test_denied_stop_leaves_nothing_unsaid(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "stuck", "SCALE_UP")
    cluster.ecs.refuse("StopServiceDeployment", *["AccessDeniedException"] * 9)
    status = cluster.run("deploy")
    problems = [line for line in cluster.lines if line.startswith("NOT IN ORDER")]

    assert status == 3
    assert len(problems) == 1
    assert "file-service ran converto-test-file-service:1 before" in problems[0]
    assert cluster.digits()[1:] == "11"


def test_lost_sight_of_ecs_is_half_way(cluster: Cluster) -> None:
    def go_blind() -> None:
        cluster.ecs.refuse("DescribeServiceDeployments", *["ServerException"] * 9999)

    cluster.ecs.on_sleep = go_blind
    status = cluster.run("deploy")

    assert status == 3
    assert "NOT IN ORDER: its deployment has not ended" in cluster.text
    assert "worker-office ran converto-test-worker-office:1 before" in cluster.text


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException"])
def test_expired_credentials_say_what_to_do(cluster: Cluster, code: str) -> None:
    cluster.ecs.on_sleep = lambda: cluster.ecs.refuse("DescribeServiceDeployments", *[code] * 99)
    status = cluster.run("deploy")
    problems = [line for line in cluster.lines if line.startswith("NOT IN ORDER")]
    updates = len(cluster.ecs.requests("UpdateService"))
    cluster.ecs.on_sleep = lambda: None
    cluster.ecs.refuse("DescribeServiceDeployments")

    assert status == 3
    assert "the AWS credentials have expired" in cluster.text
    assert "run the same command again" in cluster.text
    assert "worker-office is not looked after; it ran converto-test-worker-office:1 before" in problems[-1]
    assert updates == 2
    assert cluster.run("deploy") == 0
    assert cluster.digits() == "222"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ClusterNotFoundException", "ThrottlingException"])
def test_refused_first_look_changes_nothing(cluster: Cluster, code: str) -> None:
    cluster.ecs.refuse("DescribeServices", code)
    status = cluster.run("deploy")

    assert status == 2
    assert cluster.ecs.changes() == []
    assert code in cluster.text


def test_denied_update_changes_nothing_and_says_so(cluster: Cluster) -> None:
    cluster.ecs.refuse("UpdateService", "AccessDeniedException")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert "failed: ecs.update_service" in cluster.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["SCALE_UP", PAUSE, "BAKE_TIME"])
def test_interrupt_asks_for_the_rollback_at_once(cluster: Cluster, number: signal.Signals, stage: str) -> None:
    def interrupt() -> None:
        if any(one.stage == stage for one in cluster.ecs.deployments):
            signal.raise_signal(number)

    cluster.ecs.smoke_exit_code = None if stage == PAUSE else 0
    cluster.ecs.on_sleep = interrupt
    status = cluster.run("deploy")
    at_s = cluster.ecs.now_s
    cluster.ecs.on_sleep = lambda: None
    for _ in range(10):
        cluster.ecs.pass_time(10)

    assert status == 130
    assert "file-service: goes back to converto-test-file-service:1; not waited for" in cluster.lines
    assert at_s == cluster.ecs.now_s - 100
    assert cluster.digits() == "111"


def test_interrupt_before_the_deployment_is_listed(cluster: Cluster) -> None:
    def interrupt() -> None:
        for one in cluster.ecs.deployments:
            if one.service["serviceName"] == "worker-office":
                signal.raise_signal(signal.SIGINT)

    update = cluster.ecs.update_service

    def update_and_hide(request: dict[str, object]) -> dict[str, object]:
        answer = update(request)
        cluster.ecs.deployments[-1].is_listed = len(cluster.ecs.deployments) > 1
        return answer

    cluster.ecs.update_service = update_and_hide  # type: ignore[method-assign]
    cluster.ecs.on_sleep = interrupt
    status = cluster.run("deploy")
    last = cluster.ecs.requests("UpdateService")[-1]

    assert status == 130
    assert (last["service"], last["taskDefinition"][-1]) == ("worker-office", "1")


def test_process_killed_during_the_pause_is_rolled_back(cluster: Cluster) -> None:
    """Nobody answers the pause any more: ECS rolls back when it times out."""
    cluster.kill_deployment_at(PAUSE)
    for _ in range(200):
        cluster.ecs.pass_time(10)

    assert cluster.ecs.image("file-service") == image("file-service", "1")


def test_other_running_deployment_is_refused(cluster: Cluster) -> None:
    cluster.kill_deployment_at(PAUSE)
    before = len(cluster.ecs.changes())
    status = cluster.run("deploy", "3")

    assert status == 2
    assert len(cluster.ecs.changes()) == before
    assert "another deployment is running" in cluster.text


def test_throttled_stop_is_asked_for_again(cluster: Cluster) -> None:
    cluster.ecs.is_going_wrong = wrong("file-service", "stuck", "SCALE_UP")
    cluster.ecs.refuse("StopServiceDeployment", "ThrottlingException", "ThrottlingException")
    status = cluster.run("deploy")

    assert (status, cluster.digits()) == (1, "111")
    assert len(cluster.ecs.requests("StopServiceDeployment")) == 3


def test_second_interrupt_does_not_stop_the_first(cluster: Cluster) -> None:
    stop = cluster.ecs.stop_service_deployment

    def interrupt_again(request: dict[str, object]) -> dict[str, object]:
        signal.raise_signal(signal.SIGTERM)
        return stop(request)

    def interrupt() -> None:
        if any(one.stage == "BAKE_TIME" for one in cluster.ecs.deployments):
            signal.raise_signal(signal.SIGINT)

    cluster.ecs.stop_service_deployment = interrupt_again  # type: ignore[method-assign]
    cluster.ecs.on_sleep = interrupt
    status = cluster.run("deploy")

    assert status == 130
    assert len(cluster.ecs.requests("StopServiceDeployment")) == 1
    assert cluster.lines[-1] == "check with `rollout status`"
