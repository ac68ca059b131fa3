"""One service on its way from one revision to another: what has to change, the change itself, and the way back."""

from collections.abc import Callable
from typing import Any

import msgspec

from deploy.aws.clock import Clock
from deploy.aws.deployments import at_rest, blue_green, has_pause, rolling
from deploy.aws.ecs import Answer, Ecs, Report
from deploy.aws.errors import AwsUnavailable, DeploymentFailed, Refused
from deploy.aws.release import FileService, WorkerService
from deploy.aws.task_definition import (
    family_of,
    image_of,
    settings_of,
    short,
    tags_with_release,
    with_image,
)
from deploy.aws.watch import POLL_S, RUNNING, UNFINISHED, Watch

APPEAR_MINUTES = 5
"""ECS lists a deployment a few seconds after UpdateService has returned."""
CLEARING_TRIES = 5
STEADY_POLLS = 3
"""So many looks in a row must find all new workers running: one that crashes at its start is gone by then."""


class Step(msgspec.Struct):
    """What one service needs: a revision to register or to use, or a deployment of an earlier run to follow."""

    wanted: FileService | WorkerService
    before: str
    request: Answer | None = None
    definition: str = ""
    deployment: str = ""
    way_back: str = ""
    """The revision of a deployment that undoes the step; ECS would roll such a deployment back to the release."""

    @property
    def service(self) -> str:
        """Name of the service."""
        return self.wanted.service


class Services:
    """Plans, makes and undoes steps."""

    def __init__(self, ecs: Ecs, clock: Clock, report: Report) -> None:
        self._ecs, self._clock, self._report = ecs, clock, report
        self.watch = Watch(ecs, clock, report)

    def plan(self, wanted: FileService | WorkerService, image: str, release: str) -> Step | None:
        """Return what is to do, None when the service runs this image with the latest settings; raise `Refused`."""
        service = self._ecs.service(wanted.service)
        before = self.running_definition(service)
        if ongoing := self._ecs.deployments(wanted.service, *RUNNING):
            return self._followed(wanted, ongoing[0], image, before)
        described, _ = self._ecs.task_definition(before)
        latest, tags = self._ecs.task_definition(family_of(before))
        request = with_image(latest, wanted.container, image)
        if settings_of(described) == request:
            self._report(f"{wanted.service}: runs {short(before)} with this image already")
            return None
        if settings_of(latest) == request:
            return Step(wanted=wanted, before=before, definition=str(latest["taskDefinitionArn"]))
        return Step(wanted=wanted, before=before, request={**request, "tags": tags_with_release(tags, release)})

    def _followed(self, wanted: FileService | WorkerService, ongoing: Answer, image: str, before: str) -> Step:
        """Return a step that follows the deployment of an interrupted rollout of the same image."""
        arn, name = ongoing["serviceDeploymentArn"], wanted.service
        targets = self._ecs.definitions_of_revisions([ongoing["targetServiceRevisionArn"]])
        deploys = self.image(targets[0], wanted.container) if targets else "an unknown image"
        if deploys != image or ongoing["status"] not in UNFINISHED:
            raise Refused(
                f"{name}: another deployment is running ({ongoing['status']}, {deploys}). Wait until it has ended, "
                f"or end it: aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {arn}"
            )
        sources = [one["arn"] for one in self._ecs.deployment(arn).get("sourceServiceRevisions", [])]
        found = [one for one in self._ecs.definitions_of_revisions(sources) if one != targets[0]]
        self._report(f"{name}: a deployment of this image is running, following it")
        return Step(wanted=wanted, before=(found or [before])[0], definition=targets[0], deployment=arn)

    def running_definition(self, service: Answer) -> str:
        """Return the ARN of the task definition that serves.

        After a rollback, `taskDefinition` may still be the one that was asked for; the service revision is the truth.
        """
        revisions = [one["arn"] for one in service.get("currentServiceRevisions", [])]
        definitions = self._ecs.definitions_of_revisions(revisions) if len(revisions) == 1 else []
        return (definitions or [str(service["taskDefinition"])])[0]

    def image(self, definition: str, container: str) -> str:
        """Return the image of a container in a registered definition."""
        return image_of(self._ecs.task_definition(definition)[0], container)

    def start(self, step: Step) -> None:
        """Register the revision and start its deployment, unless one is being followed."""
        if step.deployment:
            return
        if step.request is not None:
            step.definition = self._ecs.register(step.request)
            self._report(f"{step.service}: registered {short(step.definition)}")
        self._report(f"{step.service}: {short(step.before)} → {short(step.definition)}")
        step.deployment = self._update(step.wanted, step.definition, is_tried=True)

    def finish(self, step: Step, decide: Callable[[str], str]) -> None:
        """Wait until the file service has ended its deployment, or all new workers run; raise `DeploymentFailed`."""
        wanted, definition = step.wanted, step.definition
        if isinstance(wanted, FileService):
            self.watch.until_finished(
                step.service, step.deployment, minutes=wanted.timeout_minutes, decide=lambda: decide(definition)
            )
        else:
            self._wait_for_workers(wanted, step.deployment, definition)
        self._report(f"{step.service}: runs {short(definition)}")

    def restore(self, step: Step) -> None:
        """Bring a service back to what it ran before the step; raise `DeploymentFailed`."""
        if ongoing := self._ecs.deployments(step.service, *RUNNING):
            self.watch.until_rolled_back(step.service, ongoing[0])
            return
        if self.running_definition(self._ecs.service(step.service)) == step.before:
            self._report(f"{step.service}: runs {short(step.before)}, as before")
            return
        definition = self._ecs.copy_if_inactive(step.before)
        step.way_back = definition
        self._report(f"{step.service}: back to {short(definition)}")
        arn = self._update(step.wanted, definition, is_tried=False)
        if self._ecs.is_dry_run:
            return
        if isinstance(step.wanted, FileService):
            self.watch.until_finished(step.service, arn, minutes=step.wanted.timeout_minutes)
        else:
            self._wait_for_workers(step.wanted, arn, definition)

    def clear_pause(self, wanted: FileService) -> None:
        """Take the pause off a service that has it and is not being deployed; raise `RolloutError`."""
        for left in reversed(range(CLEARING_TRIES)):
            try:
                if has_pause(self._ecs.service(wanted.service)):
                    self._clear_pause(wanted)
                return
            except AwsUnavailable as error:
                if not left:
                    raise
                self._report(f"{error}; asking again")
                self._clock.sleep(POLL_S)

    def _clear_pause(self, wanted: FileService) -> None:
        if ongoing := self._ecs.deployments(wanted.service, *RUNNING):
            raise Refused(f"{wanted.service}: a deployment is running ({ongoing[0]['serviceDeploymentArn']})")
        self._report(f"{wanted.service}: clearing the pause, which is for rollouts only")
        self._ecs.update_service(wanted.service, deploymentConfiguration=at_rest(wanted))

    def request_restore(self, step: Step) -> None:
        """Like `restore`, without waiting: for a process that is about to be killed."""
        if ongoing := self._ecs.deployments(step.service, *RUNNING):
            if ongoing[0]["status"] in UNFINISHED and not self._goes_back(step, ongoing[0]):
                self._ecs.stop_and_roll_back(ongoing[0]["serviceDeploymentArn"])
            return
        service = self._ecs.service(step.service)
        # Right after UpdateService the deployment may not be listed yet, but `taskDefinition` has changed.
        if {self.running_definition(service), service["taskDefinition"]} != {step.before}:
            definition = self._ecs.copy_if_inactive(step.before)
            self._ecs.update_service(step.service, **self._changes(step.wanted, definition, service, is_tried=False))

    def _goes_back(self, step: Step, ongoing: Answer) -> bool:
        return self._ecs.definitions_of_revisions([ongoing["targetServiceRevisionArn"]]) == [step.way_back]

    def _update(self, wanted: FileService | WorkerService, definition: str, *, is_tried: bool) -> str:
        """Ask for a deployment; return its ARN."""
        known = {one["serviceDeploymentArn"] for one in self._ecs.deployments(wanted.service)}
        current = self._ecs.service(wanted.service)
        self._ecs.update_service(wanted.service, **self._changes(wanted, definition, current, is_tried=is_tried))
        if self._ecs.is_dry_run:
            return ""
        deadline_s = self._clock.now_s() + 60 * APPEAR_MINUTES
        while self._clock.now_s() < deadline_s:
            try:
                listed = [str(one["serviceDeploymentArn"]) for one in self._ecs.deployments(wanted.service)]
            except AwsUnavailable as error:
                self._report(f"{wanted.service}: {error}; looking again")
                listed = []
            if new := [arn for arn in listed if arn not in known]:
                return new[0]
            self._clock.sleep(POLL_S)
        raise DeploymentFailed(
            f"{wanted.service}: ECS lists no deployment {APPEAR_MINUTES} minutes after UpdateService"
        )

    def _changes(
        self, wanted: FileService | WorkerService, definition: str, current: Answer, *, is_tried: bool
    ) -> dict[str, Any]:
        if isinstance(wanted, FileService):
            return blue_green(definition, wanted, current, is_tried=is_tried)
        return rolling(definition, wanted)

    def _wait_for_workers(self, wanted: WorkerService, arn: str, definition: str) -> None:
        """Wait until all new workers run. Old ones that are busy may go on, so the deployment itself may take hours."""
        steady, is_checked = 0, _has_health_check(self._ecs.task_definition(definition)[0])

        def all_run() -> bool:
            nonlocal steady
            try:
                desired = self._ecs.service(wanted.service)["desiredCount"]
                healthy = self._healthy(wanted.service, definition, is_checked=is_checked)
            except AwsUnavailable:
                return False
            steady = steady + 1 if healthy >= desired else 0
            return steady >= STEADY_POLLS

        self.watch.until_finished(wanted.service, arn, minutes=wanted.timeout_minutes, is_enough=all_run)

    def _healthy(self, service: str, definition: str, *, is_checked: bool) -> int:
        """Return how many tasks of a revision run, and are healthy if their containers have a health check."""
        tasks = [task for task in self._ecs.running_tasks(service) if task["taskDefinitionArn"] == definition]
        wanted = {"HEALTHY"} if is_checked else {"HEALTHY", "UNKNOWN", None}
        return sum(task["lastStatus"] == "RUNNING" and task.get("healthStatus") in wanted for task in tasks)

    def old_tasks(self, service: str, definition: str) -> list[str]:
        """Return the ARNs of tasks that run another revision."""
        tasks = self._ecs.running_tasks(service)
        return [str(task["taskArn"]) for task in tasks if task["taskDefinitionArn"] != definition]


def _has_health_check(described: Answer) -> bool:
    return any("healthCheck" in container for container in described["containerDefinitions"])
