"""What UpdateService is asked for: blue/green for the file service, rolling for workers."""

from typing import Any

from deploy.aws.ecs import Answer
from deploy.aws.release import FileService, WorkerService

PAUSE_BEFORE_TRAFFIC = "POST_TEST_TRAFFIC_SHIFT"
SPARE_MINUTES = 15
"""What the pause lasts beyond the smoke test. A rollout that dies during the pause leaves it to ECS to roll back."""


def blue_green(definition: str, wanted: FileService, current: Answer, *, is_tried: bool) -> dict[str, Any]:
    """Return the changes for the file service; `is_tried` adds the pause for the smoke test, and the bake time."""
    configuration = at_rest(wanted)
    if is_tried:
        configuration["lifecycleHooks"] = [_pause(wanted)]
    else:
        configuration["bakeTimeInMinutes"] = 0
    changes = {"taskDefinition": definition, "deploymentConfiguration": configuration}
    return changes if _has_both_colours(wanted, current) else {**changes, "loadBalancers": [_load_balancer(wanted)]}


def at_rest(wanted: FileService) -> dict[str, Any]:
    """Return what stays with the file service for deployments that are no rollouts: all but the pause.

    The empty list is said in so many words: an update that leaves the hooks out need not remove them.
    """
    return {
        **_protected(wanted.alarms),
        "strategy": "BLUE_GREEN",
        "bakeTimeInMinutes": wanted.bake_minutes,
        "lifecycleHooks": [],
    }


def has_pause(service: Answer) -> bool:
    """Whether the next deployment of a service will wait for an answer, and be rolled back when none comes."""
    return bool(service.get("deploymentConfiguration", {}).get("lifecycleHooks"))


def rolling(definition: str, wanted: WorkerService) -> dict[str, Any]:
    """Return the changes for a worker service: new workers first, then the old ones stop as they become idle."""
    return {
        "taskDefinition": definition,
        "deploymentConfiguration": {**_protected(wanted.alarms), "strategy": "ROLLING"},
    }


def _protected(alarms: tuple[str, ...]) -> dict[str, Any]:
    """Return what rolls a deployment back by itself, even when nobody watches it."""
    protected: dict[str, Any] = {
        "minimumHealthyPercent": 100,
        "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    }
    if alarms:
        protected["alarms"] = {"alarmNames": list(alarms), "enable": True, "rollback": True}
    return protected


def _pause(wanted: FileService) -> dict[str, Any]:
    return {
        "targetType": "PAUSE",
        "lifecycleStages": [PAUSE_BEFORE_TRAFFIC],
        "timeoutConfiguration": {"timeoutInMinutes": wanted.smoke.minutes + SPARE_MINUTES, "action": "ROLLBACK"},
    }


def _load_balancer(wanted: FileService) -> dict[str, Any]:
    return {
        "targetGroupArn": wanted.target_groups.blue,
        "containerName": wanted.container,
        "containerPort": wanted.port,
        "advancedConfiguration": {
            "alternateTargetGroupArn": wanted.target_groups.green,
            "productionListenerRule": wanted.production_rule,
            "testListenerRule": wanted.test_rule,
            "roleArn": wanted.infrastructure_role,
        },
    }


def _has_both_colours(wanted: FileService, current: Answer) -> bool:
    """Whether the service is set up already. Which group comes first does not matter: ECS swaps them itself."""
    if len(current.get("loadBalancers", [])) != 1:
        return False
    balancer, target = current["loadBalancers"][0], _load_balancer(wanted)
    advanced, wanted_advanced = balancer.get("advancedConfiguration", {}), dict(target["advancedConfiguration"])
    groups = {balancer.get("targetGroupArn"), advanced.get("alternateTargetGroupArn")}
    same = ("productionListenerRule", "testListenerRule", "roleArn")
    return (
        groups == {wanted.target_groups.blue, wanted.target_groups.green}
        and all(advanced.get(name) == wanted_advanced[name] for name in same)
        and (balancer.get("containerName"), balancer.get("containerPort")) == (wanted.container, wanted.port)
    )
