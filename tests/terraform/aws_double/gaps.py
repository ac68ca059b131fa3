"""What the modules of terraform/ call and moto lacks; each answer is as small as Terraform and boto3 accept."""

import json
import re
from collections.abc import Callable
from copy import copy
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.awslambda.models import LambdaFunction
from moto.backup import urls as backup_urls
from moto.backup.responses import BackupResponse
from moto.budgets.responses import BudgetsResponse
from moto.cloudwatch.responses import CloudWatchResponse
from moto.cognitoidp.exceptions import ResourceNotFoundError
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.responses import BaseResponse, EmptyResult
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.logs.responses import LogsResponse
from moto.rds.models import DBCluster, DBInstance
from moto.rds.utils import ClusterEngine, DbInstanceEngine
from moto.s3.models import FakeBucket
from moto.sqs.models import Queue

DOCUMENT_DB = "docdb"
DEFAULT_CERTIFICATE = "rds-ca-rsa2048-g1"
"""What AWS gives to a new database instance; with moto's default Terraform would change each instance."""

kept: dict[tuple[str, str], Any] = {}
"""What the answers below remember, by kind and id."""


def install() -> None:
    """Add all answers to moto."""
    _refuse_what_is_missing()
    _add_document_db()
    _add_alarms()
    _add_backup_selections()
    _add_tags()
    _add_task_protection()
    _run_fargate_tasks()
    _pass_over_function_images()
    _mend_bucket_logging()
    _mend_queues()
    CognitoIdpResponse.delete_resource_server = _delete_resource_server
    LogsResponse.put_query_definition = _put_query_definition
    LogsResponse.describe_query_definitions = _describe_query_definitions
    LogsResponse.delete_query_definition = _delete_query_definition


def _refuse_what_is_missing() -> None:
    """Answer 501 to a call that moto lacks: Terraform repeats a call that met a 500 for minutes."""
    original = BaseResponse.call_action

    def call_or_refuse(response: Any) -> Any:
        try:
            return original(response)
        except NotImplementedError as missing:
            headers = {"x-amzn-ErrorType": "NotImplemented", "Content-Type": "application/json"}
            return 501, headers, json.dumps({"__type": "NotImplemented", "message": str(missing)})

    BaseResponse.call_action = call_or_refuse


def _add_document_db() -> None:
    """DocumentDB speaks the API of RDS with an engine of its own."""
    for engines, method in ((ClusterEngine, "list_cluster_engines"), (DbInstanceEngine, "valid_db_instance_engine")):
        known = [*getattr(engines, method)(), DOCUMENT_DB]
        setattr(engines, method, classmethod(lambda _, known=known: known))
    defaults = {"default_engine_version": "5.0.0", "default_port": 27017, "default_allocated_storage": 1}
    for model in (DBCluster, DBInstance):
        for name, value in defaults.items():
            if hasattr(model, name):
                setattr(model, name, staticmethod(_or_default(getattr(model, name), value)))
    DBInstance.default_engine_versions[DOCUMENT_DB] = "5.0.0"
    original = DBInstance.__init__

    def with_certificate(instance: Any, *positional: Any, **named: Any) -> None:
        original(instance, *positional, **{"ca_certificate_identifier": DEFAULT_CERTIFICATE, **named})

    DBInstance.__init__ = with_certificate


def _or_default(original: Callable[..., Any], value: Any) -> Callable[..., Any]:
    def answer(*positional: Any, **named: Any) -> Any:
        is_ours = DOCUMENT_DB in positional or DOCUMENT_DB in named.values()
        return value if is_ours else original(*positional, **named)

    return answer


def _add_alarms() -> None:
    """moto keeps an alarm's rule but does not route the call for composite alarms."""
    CloudWatchResponse.put_composite_alarm = CloudWatchResponse.put_metric_alarm


def _add_tags() -> None:
    """Tags are read back after each resource; these services never store them here."""
    ApplicationAutoScalingResponse.list_tags_for_resource = _no_tags("Tags", {})
    BudgetsResponse.list_tags_for_resource = _no_tags("ResourceTags", [])
    for responses in (ApplicationAutoScalingResponse, BudgetsResponse):
        responses.tag_resource = responses.untag_resource = lambda _: "{}"
    BudgetsResponse.describe_subscribers_for_notification = _subscribers_of_budget
    BudgetsResponse.update_budget = _update_budget


def _no_tags(name: str, empty: Any) -> Callable[[BaseResponse], str]:
    return lambda _: json.dumps({name: empty})


def _subscribers_of_budget(response: Any) -> str:
    budgets = response.backend.budgets[response._get_param("AccountId")]
    asked = response._get_param("Notification")
    names = ("NotificationType", "ComparisonOperator", "Threshold")
    found = [
        subscriber
        for one in budgets[response._get_param("BudgetName")].notifications
        if all(one.details.get(name) == asked.get(name) for name in names)
        for subscriber in one.subscribers
    ]
    return json.dumps({"Subscribers": found})


def _update_budget(response: Any) -> str:
    new = response._get_param("NewBudget")
    response.backend.budgets[response._get_param("AccountId")][new["BudgetName"]].budget.update(new)
    return "{}"


def _add_task_protection() -> None:
    """Workers protect their own ECS task while they convert."""

    def update(response: Any) -> str:
        tasks = response._get_param("tasks") or []
        is_on = bool(response._get_param("protectionEnabled"))
        kept.update({("task protection", task): is_on for task in tasks})
        return _protected(tasks)

    EC2ContainerServiceResponse.update_task_protection = update
    EC2ContainerServiceResponse.get_task_protection = lambda response: _protected(response._get_param("tasks") or [])


def _protected(tasks: list[str]) -> str:
    states = [{"taskArn": task, "protectionEnabled": kept.get(("task protection", task), False)} for task in tasks]
    return json.dumps({"protectedTasks": states, "failures": []})


def _run_fargate_tasks() -> None:
    """On Fargate the task has a size and its containers need none; moto adds up those of the containers."""
    original = EC2ContainerServiceBackend._calculate_task_resource_requirements

    def requirements(definition: Any) -> Any:
        sized = copy(definition)
        sized.container_definitions = [{"memory": 0, **container} for container in definition.container_definitions]
        return original(sized)

    EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(requirements)


def _pass_over_function_images() -> None:
    """moto runs functions in Docker and none from an image; the rotation function is tested by itself."""
    original = LambdaFunction.invoke

    def invoke(function: Any, body: str, request_headers: Any, response_headers: Any) -> str | bytes:
        if function.package_type == "Image":
            return b"{}"
        return original(function, body, request_headers, response_headers)

    LambdaFunction.invoke = invoke


def _add_backup_selections() -> None:
    """What a plan takes, what a vault holds and who hears of failures; moto knows plans and vaults only."""

    class Selections(BackupResponse):
        def create_backup_selection(self) -> str:
            identity = f"selection-{len(kept)}"
            body = json.loads(self.body)
            kept["backup selection", identity] = {
                "BackupSelection": body["BackupSelection"],
                "SelectionId": identity,
                "BackupPlanId": self.path.split("/")[3],
                "CreationDate": 0,
            }
            return json.dumps(kept["backup selection", identity])

        def get_backup_selection(self) -> Any:
            found = kept.get(("backup selection", self.path.rpartition("/")[2]))
            if found is None:
                return _no_such_backup("Cannot find Backup Selection")
            return json.dumps(found)

        def delete_backup_selection(self) -> str:
            kept.pop(("backup selection", self.path.rpartition("/")[2]), None)
            return json.dumps({})

        def list_backup_selections(self) -> str:
            plan = self.path.split("/")[3]
            found = [
                one for (kind, _), one in kept.items() if kind == "backup selection" and one["BackupPlanId"] == plan
            ]
            return json.dumps({"BackupSelectionsList": found})

        def list_recovery_points_by_backup_vault(self) -> str:
            return json.dumps({"RecoveryPoints": []})  # nothing backs up here

        def put_backup_vault_notifications(self) -> str:
            kept["backup notifications", self.path.split("/")[2]] = json.loads(self.body)
            return json.dumps({})

        def get_backup_vault_notifications(self) -> Any:
            vault = self.path.split("/")[2]
            found = kept.get(("backup notifications", vault))
            if found is None:
                return _no_such_backup("Failed reading notifications from database for Backup vault")
            return json.dumps({"BackupVaultName": vault, **found})

        def delete_backup_vault_notifications(self) -> str:
            kept.pop(("backup notifications", self.path.split("/")[2]), None)
            return json.dumps({})

        def put_backup_vault_access_policy(self) -> str:
            kept["backup policy", self.path.split("/")[2]] = json.loads(self.body)
            return json.dumps({})

        def get_backup_vault_access_policy(self) -> Any:
            vault = self.path.split("/")[2]
            found = kept.get(("backup policy", vault))
            if found is None:
                return 404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, json.dumps({"message": "no policy"})
            return json.dumps({"BackupVaultName": vault, **found})

        def delete_backup_vault_access_policy(self) -> str:
            kept.pop(("backup policy", self.path.split("/")[2]), None)
            return json.dumps({})

    paths = {
        "{0}/backup-vaults/(?P<vault>[^/]+)/notification-configuration$": Selections.dispatch,
        "{0}/backup-vaults/(?P<vault>[^/]+)/access-policy$": Selections.dispatch,
        "{0}/backup-vaults/(?P<vault>[^/]+)/recovery-points/$": Selections.dispatch,
        "{0}/backup/plans/(?P<plan>[^/]+)/selections/?$": Selections.dispatch,
        "{0}/backup/plans/(?P<plan>[^/]+)/selections/(?P<selection>[^/]+)$": Selections.dispatch,
        "{0}/backup/plans/(?P<name>[^/]+)/?$": backup_urls.response.dispatch,
    }
    old = {
        path: view
        for path, view in backup_urls.url_paths.items()
        if not path.startswith("{0}/backup/plans/(?P<name>.+)")
    }
    backup_urls.url_paths.clear()
    backup_urls.url_paths.update({**paths, **old})


def _no_such_backup(message: str) -> tuple[int, dict[str, str], str]:
    return 400, {"x-amzn-ErrorType": "InvalidParameterValueException"}, json.dumps({"message": message})


def _mend_bucket_logging() -> None:
    """moto stumbles over statements for everybody in the policy of the bucket that receives the logs."""
    original = FakeBucket._log_permissions_enabled_policy

    def enabled(target_bucket: Any, target_prefix: Any) -> bool:
        if target_bucket.policy:
            target_bucket.policy = re.sub(rb'"Principal"\s*:\s*"\*"', b'"Principal":{"AWS":"*"}', target_bucket.policy)
        return bool(original(target_bucket, target_prefix))

    FakeBucket._log_permissions_enabled_policy = staticmethod(enabled)


def _mend_queues() -> None:
    """moto forgets which queues may use a dead letter queue, and a queue's policy whenever another attribute is set."""
    set_attributes, attributes = Queue._set_attributes, Queue.attributes

    def set_and_keep(queue: Any, given: dict[str, Any], now: float | None = None) -> None:
        policy = getattr(queue, "policy", None)
        set_attributes(queue, given, now)
        queue.policy = given.get("Policy", policy)

    def with_allowed_sources(queue: Any) -> dict[str, Any]:
        allowed = getattr(queue, "redrive_allow_policy", None)
        found = {**attributes.fget(queue), **({"RedriveAllowPolicy": allowed} if allowed else {})}
        if redrive := found.get("RedrivePolicy"):
            found["RedrivePolicy"] = json.dumps(json.loads(redrive), separators=(",", ":"))  # as Terraform wrote it
        return found

    Queue.redrive_allow_policy = None
    Queue.FIFO_ATTRIBUTES = [*Queue.FIFO_ATTRIBUTES, "RedriveAllowPolicy"]  # so that it may be asked for by name
    Queue._set_attributes = set_and_keep
    Queue.attributes = property(with_allowed_sources)


def _delete_resource_server(response: Any) -> EmptyResult:
    pool = response.backend.describe_user_pool(response._get_param("UserPoolId"))
    identifier = response._get_param("Identifier")
    if pool.resource_servers.pop(identifier, None) is None:
        raise ResourceNotFoundError(f"Resource server {identifier} does not exist.")
    return EmptyResult()


def _put_query_definition(response: Any) -> str:
    identity = response._get_param("queryDefinitionId") or f"query-{len(kept)}"
    names = ("name", "queryString", "logGroupNames")
    kept["query", identity] = {"queryDefinitionId": identity, **{name: response._get_param(name) for name in names}}
    return json.dumps({"queryDefinitionId": identity})


def _describe_query_definitions(_response: Any) -> str:
    return json.dumps({"queryDefinitions": [one for (kind, _), one in kept.items() if kind == "query"]})


def _delete_query_definition(response: Any) -> str:
    return json.dumps({"success": kept.pop(("query", response._get_param("queryDefinitionId")), None) is not None})
