"""Amazon ECS in this process, behind boto3's real client: requests and answers are checked against botocore's model.

Time passes when the rollout sleeps. A test says what goes wrong; the double then behaves as the documentation of ECS
says: circuit breaker, alarms, pauses that time out, rollbacks, protected tasks that stay.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
from botocore import xform_name
from botocore.validate import validate_parameters

from deploy.aws.clock import Clock
from deploy.aws.watch import RUNNING

ACCOUNT = "arn:aws:ecs:eu-central-1:111122223333"
START = datetime(2026, 11, 29, tzinfo=UTC)
BLUE_GREEN_STAGES = (
    *("RECONCILE_SERVICE", "SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"),
    *("PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"),
)
Json = dict[str, Any]


class FakeTime(Clock):
    """A clock whose sleep lets the double work."""

    def __init__(self, double: "EcsDouble") -> None:
        self._double = double

    def now_s(self) -> float:
        return self._double.now_s

    def sleep(self, seconds: float) -> None:
        self._double.pass_time(seconds)


class Deployment:
    """One service deployment."""

    def __init__(self, double: "EcsDouble", service: Json, definition: str, configuration: Json) -> None:
        self.number = next(double.numbers)
        self.arn = f"{ACCOUNT}:service-deployment/converto-test/{service['serviceName']}/{self.number}"
        self.service, self.definition, self.before = service, definition, double.serving[service["serviceName"]]
        self.configuration = configuration
        self.status, self.stages, self.stage_s = "PENDING", list(BLUE_GREEN_STAGES), 0.0
        self.hook = self.reason = self.breaker = ""
        self.alarms: list[str] = []
        self.is_listed = True

    @property
    def is_blue_green(self) -> bool:
        return self.configuration["strategy"] == "BLUE_GREEN"

    @property
    def stage(self) -> str:
        return self.stages[0] if self.is_blue_green and self.status == "IN_PROGRESS" else ""

    def brief(self) -> Json:
        return {
            "serviceDeploymentArn": self.arn,
            "createdAt": START + timedelta(seconds=self.number),
            "targetServiceRevisionArn": revision(self.definition),
            "status": self.status,
        }

    def full(self) -> Json:
        answer = {
            **self.brief(),
            "sourceServiceRevisions": [{"arn": revision(self.before)}],
            "deploymentConfiguration": self.configuration,
            "alarms": {"status": "TRIGGERED" if self.alarms else "MONITORING", "triggeredAlarmNames": self.alarms},
            "deploymentCircuitBreaker": {"status": self.breaker or "MONITORING", "failureCount": 3, "threshold": 3},
            "lifecycleHookDetails": [{"hookId": self.hook, "status": "AWAITING_ACTION"}] if self.hook else [],
        }
        if self.stage:
            answer["lifecycleStage"] = self.stage
        if self.reason:
            answer["rollback"] = {"reason": self.reason}
        answer.pop("targetServiceRevisionArn")
        return answer | {"targetServiceRevision": {"arn": revision(self.definition)}}


def revision(definition: str) -> str:
    """The ARN of a service revision; here each names its task definition."""
    return f"{ACCOUNT}:service-revision/converto-test/{definition.rpartition('/')[2].replace(':', '.')}"


class EcsDouble:
    """A cluster with the services that a test adds."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.numbers = itertools.count(1)
        self.services: dict[str, Json] = {}
        self.serving: dict[str, str] = {}
        self.definitions: dict[str, Json] = {}
        self.deployments: list[Deployment] = []
        self.tasks: dict[str, Json] = {}
        self.protected: set[str] = set()
        self.calls: list[tuple[str, Json]] = []
        self.refusals: dict[str, list[str]] = {}
        self.is_going_wrong: Callable[[Deployment], str] = lambda _: ""
        self.smoke_exit_code: int | None = 0
        self.on_sleep: Callable[[], None] = lambda: None
        self.traffic: list[tuple[str, str]] = []
        self.health = "HEALTHY"
        self.keeps_asked_definition = False
        """Whether DescribeServices goes on to name the revision that was rolled back; the service revision is right."""

    # What tests say

    def add_service(self, name: str, image: str, *, count: int = 2, **more: Any) -> None:
        """A service that runs this image."""
        container = {"name": name, "image": image, "essential": True, "healthCheck": {"command": ["CMD", "true"]}}
        options = {"awslogs-group": f"/converto-test/{name}", "awslogs-stream-prefix": "ecs"}
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
        arn = self._register({"family": f"converto-test-{name}", "containerDefinitions": [container], "cpu": "512"})
        network = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
        self.services[name] = {
            **{"serviceName": name, "status": "ACTIVE", "taskDefinition": arn, "desiredCount": count},
            **{"launchType": "FARGATE", "networkConfiguration": network, "loadBalancers": []},
            "deploymentConfiguration": {"strategy": "ROLLING"},
            **more,
        }
        self.serving[name] = arn
        for _ in range(count):
            self._start_task(name, arn)

    def add_family(self, name: str, image: str) -> None:
        """A task definition without a service."""
        self._register({"family": name, "containerDefinitions": [{"name": "housekeeping", "image": image}]})

    def refuse(self, operation: str, *codes: str) -> None:
        """Refuse the next calls of an operation, one for each code."""
        self.refusals[operation] = list(codes)

    def image(self, name: str) -> str:
        """The image that a service runs."""
        return str(self.definitions[self.serving[name]]["containerDefinitions"][0]["image"])

    def changes(self) -> list[str]:
        """Names of the calls that change something, in order."""
        return [name for name, _ in self.calls if not name.startswith(("Describe", "List"))]

    def requests(self, operation: str) -> list[Json]:
        """Requests of one operation."""
        return [request for name, request in self.calls if name == operation]

    def deploying(self) -> list[Json]:
        """The requests that started a deployment."""
        return [request for request in self.requests("UpdateService") if "taskDefinition" in request]

    def busy(self, name: str) -> list[str]:
        """Protect all tasks of a service."""
        arns = [arn for arn, task in self.tasks.items() if task["group"] == name]
        self.protected.update(arns)
        return arns

    # Time

    def pass_time(self, seconds: float) -> None:
        """Let deployments and tasks make one step."""
        self.on_sleep()
        self.now_s += seconds
        for deployment in self.deployments:
            self._advance(deployment, seconds)
        for task in self.tasks.values():
            task["healthStatus"] = self.health

    def _advance(self, one: Deployment, seconds: float) -> None:
        if one.status == "ROLLBACK_REQUESTED":
            one.status = "ROLLBACK_IN_PROGRESS"
        elif one.status == "ROLLBACK_IN_PROGRESS":
            self._finish(one, one.before, "ROLLBACK_SUCCESSFUL")
        elif one.status == "PENDING":
            one.status = "IN_PROGRESS"
            if not one.is_blue_green:
                self._replace_tasks(one)
        elif one.status == "IN_PROGRESS":
            self._go_on(one, seconds)

    def _go_on(self, one: Deployment, seconds: float) -> None:
        one.stage_s += seconds
        if wrong := self.is_going_wrong(one):
            self._fail(one, wrong)
        elif not one.is_blue_green:
            self._replace_tasks(one)
            if {task["taskDefinitionArn"] for task in self._tasks_of(one)} <= {one.definition}:
                self._finish(one, one.definition, "SUCCESSFUL")
        elif one.hook:
            self._time_out(one)
        elif not self._stays(one):
            self._next_stage(one)

    def _stays(self, one: Deployment) -> bool:
        bake_s = 60 * one.configuration.get("bakeTimeInMinutes", 0)
        return one.stage == "BAKE_TIME" and one.stage_s < bake_s

    def _next_stage(self, one: Deployment) -> None:
        one.stages, one.stage_s = one.stages[1:], 0.0
        if not one.stages:
            one.stages = ["CLEAN_UP"]
            self._finish(one, one.definition, "SUCCESSFUL")
            return
        if one.stage == "PRODUCTION_TRAFFIC_SHIFT":
            self.traffic.append((one.service["serviceName"], one.definition))
        hooks = one.configuration.get("lifecycleHooks", [])
        if any(one.stage in hook["lifecycleStages"] for hook in hooks):
            one.hook = f"ecs-pause-{one.number}"

    def _time_out(self, one: Deployment) -> None:
        timeout = one.configuration["lifecycleHooks"][0]["timeoutConfiguration"]
        if one.stage_s > 60 * timeout["timeoutInMinutes"]:
            one.hook, one.status = "", "ROLLBACK_REQUESTED"
            one.reason = "pause hook timed out"

    def _fail(self, one: Deployment, wrong: str) -> None:
        kind, _, detail = wrong.partition(":")
        if kind == "stuck":
            return
        if kind == "alarm":
            one.alarms = [detail]
        elif kind == "breaker":
            one.breaker = "TRIGGERED"
        one.status, one.reason = ("ROLLBACK_FAILED", detail) if kind == "lost" else ("ROLLBACK_REQUESTED", kind)

    def _finish(self, one: Deployment, definition: str, status: str) -> None:
        name = one.service["serviceName"]
        if self.serving[name] != definition and self.traffic[-1:] != [(name, definition)]:
            self.traffic.append((name, definition))
        one.status, self.serving[name] = status, definition
        if status == "SUCCESSFUL" or not self.keeps_asked_definition:
            one.service["taskDefinition"] = definition
        for arn, task in list(self.tasks.items()):
            if task["group"] == name and arn not in self.protected:
                del self.tasks[arn]
        for _ in range(one.service["desiredCount"]):
            self._start_task(name, definition)

    def _tasks_of(self, one: Deployment) -> list[Json]:
        return [task for task in self.tasks.values() if task["group"] == one.service["serviceName"]]

    def _replace_tasks(self, one: Deployment) -> None:
        """Start the new tasks; stop the old ones that are not protected as soon as the new ones are healthy."""
        new = [task for task in self._tasks_of(one) if task["taskDefinitionArn"] == one.definition]
        for _ in range(one.service["desiredCount"] - len(new)):
            self._start_task(one.service["serviceName"], one.definition)
        if all(task["healthStatus"] == "HEALTHY" for task in new) and len(new) >= one.service["desiredCount"]:
            for task in self._tasks_of(one):
                if task["taskDefinitionArn"] != one.definition and task["taskArn"] not in self.protected:
                    del self.tasks[task["taskArn"]]

    def _start_task(self, group: str, definition: str) -> str:
        arn = f"{ACCOUNT}:task/converto-test/{next(self.numbers):04d}"
        self.tasks[arn] = {
            **{"taskArn": arn, "taskDefinitionArn": definition, "group": group},
            **{"lastStatus": "RUNNING", "healthStatus": "UNKNOWN"},
        }
        return arn

    def _register(self, request: Json) -> str:
        family = request["family"]
        number = 1 + sum(one["family"] == family for one in self.definitions.values())
        arn = f"{ACCOUNT}:task-definition/{family}:{number}"
        kept = {name: value for name, value in request.items() if name != "tags"}
        answered = {"taskDefinitionArn": arn, "revision": number, "status": "ACTIVE", "volumes": []}
        self.definitions[arn] = {**kept, **answered, "tags": request.get("tags", [])}
        return arn

    # The operations

    def answer(self, operation: str, request: Json) -> Json:
        """Answer one call; raise `Refusal`."""
        self.calls.append((operation, request))
        if codes := self.refusals.get(operation):
            raise Refusal(codes.pop(0))
        return dict(getattr(self, xform_name(operation))(request))

    def describe_services(self, request: Json) -> Json:
        found = [self.services[name] for name in request["services"] if name in self.services]
        return {"services": [self._described(one) for one in found]}

    def _described(self, service: Json) -> Json:
        name = service["serviceName"]
        definitions = dict.fromkeys([self.serving[name]])
        for one in [one for one in self.deployments if one.service is service][-1:]:
            if one.status in {"IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED"}:
                definitions[one.definition] = None
        revisions = [{"arn": revision(one)} for one in definitions]
        count = sum(task["group"] == name for task in self.tasks.values())
        deployments = [{"status": "PRIMARY", "taskDefinition": service["taskDefinition"]}]
        if any(one.service is service and one.status in RUNNING for one in self.deployments):
            deployments.append({"status": "ACTIVE", "taskDefinition": self.serving[name]})
        return {
            **service,
            "currentServiceRevisions": revisions,
            "runningCount": count,
            "deployments": deployments,
        }

    def describe_task_definition(self, request: Json) -> Json:
        name = request["taskDefinition"]
        active = [arn for arn, one in self.definitions.items() if one["family"] == name and one["status"] == "ACTIVE"]
        if name not in self.definitions and not active:
            raise Refusal("ClientException")
        found = dict(self.definitions[name if name in self.definitions else active[-1]])
        tags = found.pop("tags")
        return {"taskDefinition": found, "tags": tags}

    def register_task_definition(self, request: Json) -> Json:
        return {"taskDefinition": {"taskDefinitionArn": self._register(request)}}

    def deregister_task_definition(self, request: Json) -> Json:
        self.definitions[request["taskDefinition"]]["status"] = "INACTIVE"
        return {}

    def update_service(self, request: Json) -> Json:
        """The service keeps its deployment configuration; what a request leaves out stays, for later deployments too.

        A configuration alone starts no deployment.
        """
        service = self.services[request["service"]]
        definition: str = request.get("taskDefinition") or service["taskDefinition"]
        if self.definitions[definition]["status"] != "ACTIVE":
            raise Refusal("ClientException")
        for name in ("loadBalancers", "taskDefinition"):
            service[name] = request.get(name, service[name])
        configuration = service["deploymentConfiguration"] | request.get("deploymentConfiguration", {})
        service["deploymentConfiguration"] = configuration
        if "taskDefinition" in request or request.get("forceNewDeployment"):
            self.deployments.append(Deployment(self, service, definition, configuration))
        return {"service": self._described(service)}

    def list_service_deployments(self, request: Json) -> Json:
        wanted = request.get("status")
        listed = [one for one in self.deployments if one.service["serviceName"] == request["service"] and one.is_listed]
        return {"serviceDeployments": [one.brief() for one in listed if not wanted or one.status in wanted]}

    def describe_service_deployments(self, request: Json) -> Json:
        arns = request["serviceDeploymentArns"]
        return {"serviceDeployments": [one.full() for one in self.deployments if one.arn in arns]}

    def describe_service_revisions(self, request: Json) -> Json:
        known = {revision(arn): arn for arn in self.definitions}
        arns = request["serviceRevisionArns"]
        return {"serviceRevisions": [{"serviceRevisionArn": arn, "taskDefinition": known[arn]} for arn in arns]}

    def stop_service_deployment(self, request: Json) -> Json:
        one = self._deployment(request)
        if one.status not in {"PENDING", "IN_PROGRESS"}:
            raise Refusal("ConflictException")
        one.status, one.reason, one.hook = "ROLLBACK_REQUESTED", "stopped by a call", ""
        return {"serviceDeploymentArn": one.arn}

    def continue_service_deployment(self, request: Json) -> Json:
        one = self._deployment(request)
        if request["hookId"] != one.hook or not one.hook:
            raise Refusal("InvalidParameterException")
        one.hook = ""
        if request["action"] == "ROLLBACK":
            one.status, one.reason = "ROLLBACK_REQUESTED", "pause hook answered with ROLLBACK"
        return {"serviceDeploymentArn": one.arn}

    def _deployment(self, request: Json) -> Deployment:
        return next(one for one in self.deployments if one.arn == request["serviceDeploymentArn"])

    def list_tasks(self, request: Json) -> Json:
        """Pages of two, so that a caller that reads one page only is found out."""
        arns = [arn for arn, task in self.tasks.items() if task["group"] == request["serviceName"]]
        start = int(request.get("nextToken", 0))
        more = {"nextToken": str(start + 2)} if start + 2 < len(arns) else {}
        return {"taskArns": arns[start : start + 2], **more}

    def describe_tasks(self, request: Json) -> Json:
        return {"tasks": [self.tasks[arn] for arn in request["tasks"] if arn in self.tasks]}

    def run_task(self, request: Json) -> Json:
        arn = self._start_task("smoke", request["taskDefinition"])
        task = self.tasks[arn]
        if self.smoke_exit_code is not None:
            name = request["overrides"]["containerOverrides"][0]["name"]
            task.update(lastStatus="STOPPED", containers=[{"name": name, "exitCode": self.smoke_exit_code}])
        return {"tasks": [task], "failures": []}

    def stop_task(self, request: Json) -> Json:
        self.tasks.pop(request["task"])
        return {}

    def update_task_protection(self, request: Json) -> Json:
        self.protected.difference_update(request["tasks"])
        return {"protectedTasks": [], "failures": []}


class Refusal(Exception):
    """An error that ECS answers with; its text is the code."""


class Client:
    """boto3's client, with a double in place of the network; building one takes longer than most tests."""

    def __init__(self) -> None:
        self.double = EcsDouble()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.boto = boto3.client("ecs", region_name="eu-central-1", **keys)
        self.boto.meta.events.register("before-call.ecs", self._answer)
        self.counted: Counter[str] = Counter()

    def _answer(self, model: Any, params: Json, **_: Any) -> tuple[SimpleNamespace, Json]:
        self.counted[model.name] += 1
        try:
            answer = self.double.answer(model.name, json.loads(params["body"]))
        except Refusal as refusal:
            error = {"Code": str(refusal), "Message": "refused by the test"}
            return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {}}
        validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), answer
