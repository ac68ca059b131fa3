"""New deployments of ECS services, whose containers read their secrets when they start."""

import logging
from typing import Any

from botocore.exceptions import ClientError

from deploy.aws.rotation.errors import RotationFailed

log = logging.getLogger(__name__)

# A service that is made later starts with the new secret anyway. So the first rotation may come before the services.
NOT_THERE = ("ServiceNotFoundException", "ServiceNotActiveException", "ClusterNotFoundException")


def start_deployments(ecs: Any, cluster: str, services: tuple[str, ...]) -> None:
    """Start one for each service; raises `RotationFailed` when some refused, after all have been tried."""
    refused = [service for service in services if not _is_started(ecs, cluster, service)]
    if refused:
        raise RotationFailed(
            f"the secret was rotated, but no deployment could be started of {', '.join(refused)}. "
            "They work with the old secret until the next rotation; start their deployments before"
        )


def _is_started(ecs: Any, cluster: str, service: str) -> bool:
    """Start a deployment, without the pause for a smoke test that an interrupted rollout may have left behind."""
    try:
        described = ecs.describe_services(cluster=cluster, services=[service])["services"]
        configuration = described[0].get("deploymentConfiguration", {}) if described else {}
        changes: dict[str, Any] = {}
        if configuration.get("lifecycleHooks"):
            if _is_being_deployed(described[0]):
                log.warning("no deployment of %s: a rollout is trying a release", service)
                return False
            changes = {"deploymentConfiguration": {**configuration, "lifecycleHooks": []}}
        ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True, **changes)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        log.warning("no deployment of %s: %s", service, code)
        return code in NOT_THERE
    log.info("started a deployment of %s", service)
    return True


def _is_being_deployed(service: Any) -> bool:
    """Whether old and new tasks run beside each other; without its pause, an untried release would get through."""
    return any(
        one["status"] != "PRIMARY" or one.get("rolloutState") == "IN_PROGRESS" for one in service.get("deployments", [])
    )
