"""Follows one service deployment of ECS to its end: reports its stages, asks for the verdict, keeps the deadline."""

from collections.abc import Callable, Iterator

from deploy.aws.clock import Clock
from deploy.aws.ecs import Answer, Ecs, Report
from deploy.aws.errors import AwsUnavailable, DeploymentFailed

POLL_S = 10.0
ROLLBACK_MINUTES = 30
"""Shifting traffic back takes a minute; waiting for tasks to start that had already been stopped takes longer."""

UNFINISHED = ("PENDING", "IN_PROGRESS")
ROLLING_BACK = ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "STOP_REQUESTED")
RUNNING = (*UNFINISHED, *ROLLING_BACK)
ROLLED_BACK = "ROLLBACK_SUCCESSFUL"

Decide = Callable[[], str]
"""Tries the new revision; returns why it must not serve, "" if it may."""


class Watch:
    """Follows deployments, one at a time."""

    def __init__(self, ecs: Ecs, clock: Clock, report: Report) -> None:
        self._ecs, self._clock, self._report = ecs, clock, report

    def until_finished(
        self,
        service: str,
        arn: str,
        *,
        minutes: float,
        decide: Decide | None = None,
        is_enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return when the deployment is successful, or earlier when `is_enough`; raise `DeploymentFailed`.

        `decide` answers the pause before production traffic. At the deadline the deployment is rolled back.
        """
        deadline_s, verdict, late = self._clock.now_s() + 60 * minutes, None, ""
        for deployment in self._polls(service, arn, give_up_s=deadline_s + 60 * ROLLBACK_MINUTES):
            status = deployment["status"]
            if status == "SUCCESSFUL" or (status in UNFINISHED and not late and is_enough()):
                return
            if status not in RUNNING:
                raise DeploymentFailed(
                    f"{service}: {_failure(deployment, verdict or late)}", is_rolled_back=status == ROLLED_BACK
                )
            if status in ROLLING_BACK:
                continue
            if decide and (hook := _waiting_hook(deployment)):
                verdict = decide() if verdict is None else verdict  # once, also when the answer has to be repeated
                self._ask(lambda: self._ecs.answer_hook(arn, hook, is_ok=not verdict))  # noqa: B023 - called at once
            elif self._clock.now_s() >= deadline_s:
                late = f"not finished within {minutes:g} minutes"
                self._report(f"{service}: {late}, rolling back")
                self._ask(lambda: self._ecs.stop_and_roll_back(arn))

    def until_rolled_back(self, service: str, listed: Answer) -> None:
        """Roll a running deployment back, as it was listed, and wait; raise `DeploymentFailed` unless that succeeds."""
        arn, status = str(listed["serviceDeploymentArn"]), listed["status"]
        if status in UNFINISHED:
            self._report(f"{service}: rolling the running deployment back")
            self._ask(lambda: self._ecs.stop_and_roll_back(arn))
        if self._ecs.is_dry_run:
            return
        for deployment in self._polls(service, arn, give_up_s=self._clock.now_s() + 60 * ROLLBACK_MINUTES):
            status = deployment["status"]
            if status == ROLLED_BACK:
                return
            if status in UNFINISHED:
                self._ask(lambda: self._ecs.stop_and_roll_back(arn))
            elif status not in RUNNING:
                raise DeploymentFailed(f"{service}: asked to roll back, but {_failure(deployment, '')}")

    def _polls(self, service: str, arn: str, *, give_up_s: float) -> Iterator[Answer]:
        """Yield the deployment again and again, whatever throttling or outages there are in between."""
        seen = ""
        while self._clock.now_s() < give_up_s:
            try:
                deployment = self._ecs.deployment(arn)
            except AwsUnavailable as error:
                self._report(f"{service}: {error}; looking again")
            else:
                if (stage := _stage(deployment)) != seen:
                    seen = stage
                    self._report(f"{service}: {stage}")
                yield deployment
            self._clock.sleep(POLL_S)
        raise DeploymentFailed(f"{service}: its deployment has not ended; last seen: {seen or 'never'} ({arn})")

    def _ask(self, change: Callable[[], None]) -> None:
        """Make a call that the next poll makes again if it did not take effect."""
        try:
            change()
        except AwsUnavailable as error:
            self._report(f"{error}; asking again")


def _stage(deployment: Answer) -> str:
    return " ".join(part for part in (deployment["status"], deployment.get("lifecycleStage", "")) if part)


def _waiting_hook(deployment: Answer) -> str:
    """Return the id of the pause that waits for an answer, "" if none does."""
    hooks = deployment.get("lifecycleHookDetails", [])
    return next((hook["hookId"] for hook in hooks if hook.get("status") == "AWAITING_ACTION"), "")


def _failure(deployment: Answer, own_reason: str) -> str:
    """Say how a deployment ended and why: our own reason first, then everything that ECS gives."""
    alarms, breaker = deployment.get("alarms", {}), deployment.get("deploymentCircuitBreaker", {})
    reasons = [own_reason]
    if alarms.get("triggeredAlarmNames"):
        reasons.append(f"alarm: {', '.join(alarms['triggeredAlarmNames'])}")
    if breaker.get("status") == "TRIGGERED":
        reasons.append(f"circuit breaker: {breaker.get('failureCount', '?')} tasks failed to start")
    reasons += [deployment.get("rollback", {}).get("reason", ""), deployment.get("statusReason", "")]
    stage = f" at {deployment['lifecycleStage']}" if deployment.get("lifecycleStage") else ""
    return f"{deployment['status']}{stage}: {'; '.join(reason for reason in reasons if reason) or 'no reason given'}"
