"""The calls to Amazon ECS that a rollout makes; errors are translated, and a dry run prints what would change."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError
from botocore.validate import validate_parameters

from deploy.aws.errors import AwsRefused, AwsUnavailable, CredentialsExpired
from deploy.aws.task_definition import family_of, settings_of, short

Answer = dict[str, Any]
Report = Callable[[str], None]

TEMPORARY = frozenset(
    {
        *("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"),
        "ConflictException",  # the state has changed since the last look; the next one shows it
        *("ServerException", "InternalFailure", "InternalError", "ServiceUnavailable", "RequestTimeout"),
    }
)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
PER_CALL = 100  # the most tasks that DescribeTasks takes
PER_PROTECTION_CALL = 10  # the most tasks that UpdateTaskProtection takes
CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 5})
"""Standard mode repeats throttled and failed calls with backoff; what still fails is repeated by who polls."""


class Ecs:
    """One cluster."""

    def __init__(self, client: Any, cluster: str, *, report: Report, is_dry_run: bool = False) -> None:
        """`client` is boto3's; in a dry run it is used for reading only."""
        self._client, self._cluster = client, cluster
        self._report, self.is_dry_run = report, is_dry_run

    @classmethod
    def connect(cls, region: str, cluster: str, *, report: Report, is_dry_run: bool = False) -> "Ecs":
        """Use the credentials of the environment, as boto3 finds them."""
        client = boto3.client("ecs", region_name=region, config=CONFIG)
        return cls(client, cluster, report=report, is_dry_run=is_dry_run)

    # Reading

    def service(self, name: str) -> Answer:
        """Return an active service; raise `AwsRefused` if there is none."""
        found = self._call("describe_services", cluster=self._cluster, services=[name])["services"]
        if not found or found[0]["status"] != "ACTIVE":
            raise AwsRefused(f"cluster {self._cluster} has no active service {name}")
        return dict(found[0])

    def task_definition(self, name: str) -> tuple[Answer, list[dict[str, str]]]:
        """Return a task definition and its tags; `name` is an ARN, or a family for its latest active revision."""
        answer = self._call("describe_task_definition", taskDefinition=name, include=["TAGS"])
        return answer["taskDefinition"], answer.get("tags", [])

    def deployments(self, service: str, *statuses: str) -> list[Answer]:
        """Return the deployments of a service, latest first, as brief entries."""
        more = {"status": list(statuses)} if statuses else {}
        answer = self._call("list_service_deployments", cluster=self._cluster, service=service, maxResults=100, **more)
        return sorted(answer["serviceDeployments"], key=lambda one: one["createdAt"], reverse=True)

    def deployment(self, arn: str) -> Answer:
        """Return one deployment in full."""
        answer = self._call("describe_service_deployments", serviceDeploymentArns=[arn])
        if not answer["serviceDeployments"]:
            raise AwsRefused(f"ECS does not know the deployment {arn}")
        return dict(answer["serviceDeployments"][0])

    def definitions_of_revisions(self, revisions: Sequence[str]) -> list[str]:
        """Return the ARN of the task definition of each service revision."""
        if not revisions:
            return []
        answer = self._call("describe_service_revisions", serviceRevisionArns=list(revisions))
        found = {one["serviceRevisionArn"]: str(one["taskDefinition"]) for one in answer["serviceRevisions"]}
        return [found[arn] for arn in revisions if arn in found]

    def running_tasks(self, service: str) -> list[Answer]:
        """Return the tasks of a service that are to run."""
        arns = list(self._task_arns(service))
        return [task for start in range(0, len(arns), PER_CALL) for task in self.tasks(arns[start : start + PER_CALL])]

    def tasks(self, arns: Sequence[str]) -> list[Answer]:
        """Return tasks by ARN, up to 100."""
        return list(self._call("describe_tasks", cluster=self._cluster, tasks=list(arns))["tasks"])

    def _task_arns(self, service: str) -> Iterator[str]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_tasks", cluster=self._cluster, serviceName=service, desiredStatus="RUNNING", **more)
            yield from page["taskArns"]
            if not page.get("nextToken"):
                return
            more = {"nextToken": page["nextToken"]}

    # Changing

    def register(self, request: Answer) -> str:
        """Register a revision; return its ARN."""
        answer = self._change("register_task_definition", **request)
        return str(answer["taskDefinition"]["taskDefinitionArn"]) if answer else f"{request['family']}:(next revision)"

    def update_service(self, service: str, **changes: Any) -> None:
        """Start a deployment."""
        self._change("update_service", cluster=self._cluster, service=service, **changes)

    def stop_and_roll_back(self, arn: str) -> None:
        """Ask ECS to return a running deployment to the revision before."""
        self._change("stop_service_deployment", serviceDeploymentArn=arn, stopType="ROLLBACK")

    def answer_hook(self, arn: str, hook_id: str, *, is_ok: bool) -> None:
        """Let a paused deployment go on, or roll it back."""
        action = "CONTINUE" if is_ok else "ROLLBACK"
        self._change("continue_service_deployment", serviceDeploymentArn=arn, hookId=hook_id, action=action)

    def run_task(self, **request: Any) -> str:
        """Start one task outside of a service; return its ARN."""
        answer = self._change("run_task", cluster=self._cluster, count=1, **request)
        if answer is None:
            return ""
        if not answer["tasks"]:
            raise AwsRefused(f"ECS could not start the task: {answer['failures']}")
        return str(answer["tasks"][0]["taskArn"])

    def stop_task(self, arn: str, reason: str) -> None:
        """Stop one task."""
        self._change("stop_task", cluster=self._cluster, task=arn, reason=reason)

    def end_protection(self, arns: Sequence[str]) -> None:
        """Let ECS stop these tasks although they are busy."""
        for start in range(0, len(arns), PER_PROTECTION_CALL):
            tasks = list(arns[start : start + PER_PROTECTION_CALL])
            self._change("update_task_protection", cluster=self._cluster, tasks=tasks, protectionEnabled=False)

    def deregister(self, arn: str) -> None:
        """Retire a revision, so that the one before is the latest of its family again."""
        self._change("deregister_task_definition", taskDefinition=arn)

    def copy_if_inactive(self, arn: str) -> str:
        """Return a revision that a service can be updated to: `arn`, or a copy when `arn` was deregistered."""
        described, tags = self.task_definition(arn)
        if described["status"] == "ACTIVE":
            return arn
        self._report(f"{family_of(arn)}: {short(arn)} was deregistered, registering a copy")
        return self.register({**settings_of(described), **({"tags": tags} if tags else {})})

    def _change(self, operation: str, **request: Any) -> Answer | None:
        """Make a call that changes something; in a dry run, check it against the service's model and print it."""
        if not self.is_dry_run:
            return self._call(operation, **request)
        model = self._client.meta.service_model
        name = self._client.meta.method_to_api_mapping[operation]
        try:
            validate_parameters(request, model.operation_model(name).input_shape)
        except ParamValidationError as error:
            raise AwsRefused(f"ecs.{operation}: {error}") from error
        self._report(f"would call ecs.{operation} {json.dumps(request, sort_keys=True, default=str)}")
        return None

    def _call(self, operation: str, **request: Any) -> Answer:
        try:
            return dict(getattr(self._client, operation)(**request))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in EXPIRED:
                raise CredentialsExpired(
                    f"ecs.{operation}: the AWS credentials have expired; their session was shorter than this run. "
                    "ECS goes on alone: running deployments end or roll back by themselves, and a pause that nobody "
                    "answers is rolled back. Take the role again for longer (up to its max_session_duration), look at "
                    "`rollout status`, and run the same command again: it follows what is running"
                ) from error
            kind = AwsUnavailable if code in TEMPORARY else AwsRefused
            raise kind(f"ecs.{operation}: {error}") from error
        except ParamValidationError as error:
            raise AwsRefused(f"ecs.{operation}: {error}") from error
        except (BotoCoreError, ResponseParserError) as error:  # no connection, no credentials, an answer of a proxy
            raise AwsUnavailable(f"ecs.{operation}: {error}") from error
