"""Runs the smoke test against the test listener, as one ECS task of the revision that is being deployed.

The load balancer is internal, so the test runs inside the network. The new revision of the file service brings all it
needs: the image with the script, the API key as a secret, and a security group that may reach the load balancer.
"""

from deploy.aws.clock import Clock
from deploy.aws.ecs import Answer, Ecs, Report
from deploy.aws.errors import AwsRefused, AwsUnavailable
from deploy.aws.release import FileService
from deploy.aws.task_definition import short

POLL_S = 5.0
STARTED_BY = "converto-rollout"
START_MINUTES = 5
"""For the image to be pulled and the task to be placed."""


class SmokeRun:
    """The smoke test of one environment."""

    def __init__(self, ecs: Ecs, file_service: FileService, clock: Clock, report: Report) -> None:
        self._ecs, self._file_service, self._clock, self._report = ecs, file_service, clock, report

    def __call__(self, definition: str) -> str:
        """Run the test with this task definition; return why it failed, "" if it passed."""
        try:
            task = self._ecs.run_task(**self._request(definition))
            self._report(f"smoke test: started {short(task)}" if task else "smoke test: would be waited for")
            return self._result(task, definition) if task else ""
        except (AwsRefused, AwsUnavailable) as error:
            return f"the smoke test could not be run: {error}"

    def _request(self, definition: str) -> Answer:
        service, smoke = self._ecs.service(self._file_service.service), self._file_service.smoke
        command = [*smoke.command, "--url", smoke.url, "--within", str(60 * smoke.minutes)]
        if smoke.server_name:
            command += ["--server-name", smoke.server_name]
        placement = {name: service[name] for name in ("capacityProviderStrategy", "launchType") if service.get(name)}
        if "capacityProviderStrategy" in placement:
            placement.pop("launchType", None)  # ECS takes one of the two
        return {
            "taskDefinition": definition,
            "networkConfiguration": service["networkConfiguration"],
            "overrides": {"containerOverrides": [{"name": self._file_service.container, "command": command}]},
            "startedBy": STARTED_BY,
            **placement,
        }

    def _result(self, arn: str, definition: str) -> str:
        deadline_s = self._clock.now_s() + 60 * (self._file_service.smoke.minutes + START_MINUTES)
        while self._clock.now_s() < deadline_s:
            try:
                tasks = self._ecs.tasks([arn])
            except AwsUnavailable as error:
                self._report(f"smoke test: {error}; looking again")
                tasks = []
            if tasks and tasks[0]["lastStatus"] == "STOPPED":
                return self._verdict(tasks[0], definition)
            self._clock.sleep(POLL_S)
        self._ecs.stop_task(arn, "The smoke test took too long")
        return f"the smoke test has not ended in time; {self._where(arn, definition)}"

    def _verdict(self, task: Answer, definition: str) -> str:
        name = self._file_service.container
        containers: list[Answer] = task.get("containers", [])
        container = next((one for one in containers if one.get("name") == name), Answer())
        if container.get("exitCode") == 0:
            self._report("smoke test: passed")
            return ""
        reason = container.get("reason") or task.get("stoppedReason") or "no reason given"
        status = f"exit status {container.get('exitCode', 'none')}, {reason}"
        return f"the smoke test failed ({status}); {self._where(task['taskArn'], definition)}"

    def _where(self, task: str, definition: str) -> str:
        """Say where the words of the test are: the log stream of its task."""
        described, _ = self._ecs.task_definition(definition)
        name = self._file_service.container
        container = next(one for one in described["containerDefinitions"] if one["name"] == name)
        options = container.get("logConfiguration", {}).get("options", {})
        if "awslogs-group" not in options:
            return f"see the log of task {short(task)}"
        stream = f"{options.get('awslogs-stream-prefix', '')}/{name}/{short(task)}"
        return f"its log: group {options['awslogs-group']}, stream {stream}"
