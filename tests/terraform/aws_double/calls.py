"""Which actions a request to moto needs, on which resources and in which context, as AWS counts them."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import xmltodict
from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends

from tests.terraform.aws_double.evaluation import Call

PARTITION = "aws"
S3_ACTIONS = {"HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "ListObjects": "ListBucket"}
# What a service asks of the caller's role besides the action itself.
KEY_NEEDS = {"PutObject": ("GenerateDataKey",), "GetObject": ("Decrypt",)}
PASSED_ROLES = {
    ("ecs", "RegisterTaskDefinition"): (("taskRoleArn", "executionRoleArn"), "ecs-tasks.amazonaws.com"),
    ("lambda", "CreateFunction"): (("Role",), "lambda.amazonaws.com"),
}


class Request(NamedTuple):
    """What is needed of a request: `values` are its parameters, from the query, the form or the JSON body."""

    service: str
    action: str
    region: str
    account: str
    values: dict[str, Any]
    context: dict[str, str]
    principal: str | None = None
    bucket: str | None = None
    key: str | None = None
    headers: Any = None
    body: bytes = b""

    def arn(self, resource: str, *, service: str | None = None) -> str:
        return f"arn:{PARTITION}:{service or self.service}:{self.region}:{self.account}:{resource}"

    def call(self, action: str, resource: str, **context: str) -> Call:
        more = {name.replace("__", ":"): value for name, value in context.items()}
        tags = tags_of(resource, self.account, self.region)
        return Call(action, resource, {**self.context, **tags, **more}, self.principal)


def tags_of(resource: str, account: str, region: str) -> dict[str, str]:
    """The condition keys of a resource's tags, for the services that the tests ask by tag."""
    name = resource.rpartition("/")[2]
    tags: dict[str, str] = {}
    if ":kms:" in resource:
        listed = kms_backends[account][region].tagger.list_tags_for_resource(name)["Tags"]
        tags = {tag["TagKey"]: tag["TagValue"] for tag in listed}
    elif ":secretsmanager:" in resource:
        found = secretsmanager_backends[account][region].secrets.values()
        tags = {tag["Key"]: tag["Value"] for one in found if one.arn == resource for tag in one.tags or []}
    elif ":ec2:" in resource:
        tags = dict(ec2_backends[account][region].tags.get(name, {}))
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


def needed(request: Request) -> Iterator[Call]:
    """All calls that must be allowed for this request to succeed."""
    if request.service == "s3":
        yield from _s3(request)
        return
    resources = RESOURCES.get(request.service, _any)(request)
    for resource in resources:
        action = request.action.removesuffix("Batch") if request.service == "sqs" else request.action
        yield request.call(f"{request.service}:{action}", resource, **_context(request))
    yield from _passed_roles(request)
    yield from _key_of_secret(request)


def _s3(request: Request) -> Iterator[Call]:
    action = S3_ACTIONS.get(request.action, request.action)
    bucket = f"arn:{PARTITION}:s3:::{request.bucket or '*'}"
    context = {"aws__ResourceAccount": request.account, **_s3_context(request)}
    if request.key is None and action == "DeleteObject":  # DeleteObjects names its keys in the body
        for key in _keys_in(request.body):
            yield request.call("s3:DeleteObject", f"{bucket}/{key}", **context)
        return
    resource = bucket if request.key is None else f"{bucket}/{request.key}"
    if not (action == "ListBucket" and request.bucket is None):
        yield request.call(f"s3:{action}", resource, **context)
    if request.key is not None:
        yield from _use_of_key(request, action)
        yield from _copied_source(request, context)
        yield from _missing_object(request, action, bucket, context)


def _s3_context(request: Request) -> dict[str, str]:
    found = {}
    if "prefix" in request.values:
        found["s3__prefix"] = str(request.values["prefix"])
    for name in ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl"):
        if value := request.headers.get(name):
            found[f"s3__{name}"] = value
    return found


def _use_of_key(request: Request, action: str) -> Iterator[Call]:
    """S3 calls KMS with the caller's role when the bucket is encrypted with a key of the account."""
    backend = s3_backends[request.account][PARTITION]
    bucket = backend.buckets.get(request.bucket)
    key_arn = _key_of_bucket(bucket.encryption) if bucket is not None else None
    if key_arn is None:
        return
    # S3 answers 404 before it needs a key.
    if action == "GetObject" and request.key not in bucket.keys:
        return
    wanted = (
        ("GenerateDataKey", "Decrypt")
        if "uploadId" in request.values and action == "PutObject"
        else KEY_NEEDS.get(action, ())
    )
    for name in wanted:
        via = f"s3.{request.region}.amazonaws.com"
        yield request.call(f"kms:{name}", key_arn, kms__ViaService=via)


def _key_of_bucket(encryption: Any) -> str | None:
    rules = (encryption or {}).get("Rule", [])
    rule = rules[0] if isinstance(rules, list) and rules else rules
    key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") if rule else None
    return key if key and key.startswith("arn:") else None


def _copied_source(request: Request, context: dict[str, str]) -> Iterator[Call]:
    if source := request.headers.get("x-amz-copy-source"):
        bucket, _, key = unquote(source).lstrip("/").partition("/")
        yield request.call("s3:GetObject", f"arn:{PARTITION}:s3:::{bucket}/{key}", **context)


def _missing_object(request: Request, action: str, bucket: str, context: dict[str, str]) -> Iterator[Call]:
    """S3 tells who may not list the bucket 403 and not 404 for an object that does not exist."""
    found = s3_backends[request.account][PARTITION].buckets.get(request.bucket)
    if action == "GetObject" and found is not None and request.key not in found.keys:
        yield request.call("s3:ListBucket", bucket, **context)


def _keys_in(body: bytes) -> list[str]:
    objects = xmltodict.parse(body, strip_whitespace=False)["Delete"].get("Object", [])
    return [one["Key"] for one in (objects if isinstance(objects, list) else [objects])]


def _passed_roles(request: Request) -> Iterator[Call]:
    names, service = PASSED_ROLES.get((request.service, request.action), ((), ""))
    for name in names:
        if role := request.values.get(name):
            yield request.call("iam:PassRole", role, iam__PassedToService=service)
    if request.service == "ecs" and request.action == "RunTask":
        for definition in _definitions(request):
            for role in (definition.task_role_arn, definition.execution_role_arn):
                if role:
                    yield request.call("iam:PassRole", role, iam__PassedToService="ecs-tasks.amazonaws.com")


def _definitions(request: Request) -> list[Any]:
    family = str(request.values.get("taskDefinition", "")).rpartition("/")[2].partition(":")[0]
    return list(ecs_backends[request.account][request.region].task_definitions.get(family, {}).values())[-1:]


def _key_of_secret(request: Request) -> Iterator[Call]:
    needs = {"GetSecretValue": ("Decrypt",), "PutSecretValue": ("GenerateDataKey",)}.get(request.action, ())
    if request.service != "secretsmanager" or not needs:
        return
    secret = _secret(request)
    if secret is not None and (key := secret.kms_key_id):
        for name in needs:
            via = f"secretsmanager.{request.region}.amazonaws.com"
            yield request.call(f"kms:{name}", key, kms__ViaService=via)


def _context(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    if request.service == "ecs" and (cluster := request.values.get("cluster")):
        found["ecs__cluster"] = cluster if cluster.startswith("arn:") else request.arn(f"cluster/{cluster}")
    if request.action == "CreateKey":
        found.update({f"aws__RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in request.values.get("Tags", [])})
    if request.service == "iam" and (boundary := request.values.get("PermissionsBoundary")):
        found["iam__PermissionsBoundary"] = boundary
    return found


def _secret(request: Request) -> Any:
    backend = secretsmanager_backends[request.account][request.region]
    wanted = str(request.values.get("SecretId", ""))
    return next((one for one in backend.secrets.values() if wanted in (one.name, one.arn)), None)


def _any(_request: Request) -> list[str]:
    return ["*"]


def _named(**patterns: str) -> Callable[[Request], list[str]]:
    """Build ARNs from the first parameter that a request has; a parameter that holds an ARN is taken as it is."""

    def resources(request: Request) -> list[str]:
        for parameter, pattern in patterns.items():
            value = request.values.get(parameter)
            if value is None:
                continue
            named = value if isinstance(value, list) else [value]
            return [str(one) if str(one).startswith("arn:") else request.arn(pattern.format(one)) for one in named]
        return ["*"]

    return resources


def _sqs(request: Request) -> list[str]:
    name = str(request.values.get("QueueUrl", request.values.get("QueueName", "*"))).rpartition("/")[2]
    return [request.arn(name)]


def _secretsmanager(request: Request) -> list[str]:
    secret, wanted = _secret(request), request.values.get("SecretId", request.values.get("Name"))
    if secret is not None:
        return [secret.arn]
    return ["*" if wanted is None else request.arn(f"secret:{wanted}-AbCdEf")]


def _kms(request: Request) -> list[str]:
    wanted, alias = request.values.get("KeyId", request.values.get("TargetKeyId")), request.values.get("AliasName")
    if alias is not None:
        return [request.arn(str(alias)), *([str(wanted)] if wanted else [])]
    if wanted is None:
        return ["*"]
    keys = kms_backends[request.account][request.region].keys
    known = keys.get(str(wanted).rpartition("/")[2])
    return [known.arn if known else str(wanted)]


def _ecs(request: Request) -> list[str]:
    values, cluster = request.values, str(request.values.get("cluster", "default")).rpartition("/")[2]
    match request.action:
        case "RunTask" | "DescribeTaskDefinition" | "DeregisterTaskDefinition":
            named = str(values.get("taskDefinition", "")).rpartition("/")[2]
            return [request.arn(f"task-definition/{named if ':' in named else f'{named}:1'}")]
        case "RegisterTaskDefinition":
            return [request.arn(f"task-definition/{values.get('family')}:1")]
        case "UpdateService" | "DeleteService":
            return [request.arn(f"service/{cluster}/{str(values.get('service')).rpartition('/')[2]}")]
        case "CreateService":
            return [request.arn(f"service/{cluster}/{values.get('serviceName')}")]
        case "DescribeServices":
            return [request.arn(f"service/{cluster}/{one.rpartition('/')[2]}") for one in values.get("services", [])]
        case "UpdateTaskProtection" | "GetTaskProtection":
            return [request.arn(f"task/{cluster}/{one.rpartition('/')[2]}") for one in values.get("tasks", [])]
        case "StopTask" | "ExecuteCommand":
            return [request.arn(f"task/{cluster}/{str(values.get('task')).rpartition('/')[2]}")]
    return _named(clusters="cluster/{}", clusterName="cluster/{}")(request)


def _iam(request: Request) -> list[str]:
    for parameter, kind in (("RoleName", "role"), ("UserName", "user")):
        if name := request.values.get(parameter):
            return [f"arn:{PARTITION}:iam::{request.account}:{kind}/{name}"]
    return [str(request.values.get("PolicyArn", request.values.get("OpenIDConnectProviderArn", "*")))]


def _logs(request: Request) -> list[str]:
    group = request.values.get("logGroupName")
    stream = request.values.get("logStreamName")
    if group is None:
        return ["*"]
    return [request.arn(f"log-group:{group}:log-stream:{stream}" if stream else f"log-group:{group}:*")]


def _lambda(request: Request) -> list[str]:
    name = request.values.get("FunctionName") or request.values.get("function_name")
    return [request.arn(f"function:{name}") if name else "*"]


RESOURCES: dict[str, Callable[[Request], list[str]]] = {
    "sqs": _sqs,
    "secretsmanager": _secretsmanager,
    "kms": _kms,
    "ecs": _ecs,
    "iam": _iam,
    "logs": _logs,
    "lambda": _lambda,
    "ec2": _named(GroupId="security-group/{}", SubnetId="subnet/{}", InstanceId="instance/{}", VpcId="vpc/{}"),
    "ecr": _named(repositoryName="repository/{}", repositoryNames="repository/{}"),
    "sts": _named(RoleArn="{}"),
    "sns": _named(TopicArn="{}", Name="{}"),
    "rds": _named(DBClusterIdentifier="cluster:{}", DBInstanceIdentifier="db:{}"),
    "events": _named(Name="rule/{}", Rule="rule/{}"),
    "scheduler": _named(Name="schedule/default/{}"),
    "monitoring": _named(AlarmName="alarm:{}"),
    "elasticloadbalancing": _named(ListenerArn="{}", RuleArn="{}", TargetGroupArn="{}", LoadBalancerArn="{}"),
}


def values_of(querystring: dict[str, Any], body: str | bytes, path_values: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request by name; lists of the query protocol (`Name.member.1`) become lists."""
    found: dict[str, Any] = {}
    for name, values in querystring.items():
        value = values[0] if isinstance(values, list) else values
        if listed := re.fullmatch(r"(\w+)\.(?:member\.|\w+\.)?\d+", name):
            found.setdefault(listed[1], []).append(value)
        else:
            found[name] = value
    try:
        parsed = json.loads(body) if body else {}
    except (ValueError, UnicodeDecodeError):
        parsed = {}
    return {**found, **(parsed if isinstance(parsed, dict) else {}), **path_values}
