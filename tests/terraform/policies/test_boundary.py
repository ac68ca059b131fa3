"""Evaluates the boundary where moto makes no call: it stops nobody's work, and it tells environments apart by tag."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.terraform.aws import ACCOUNT
from tests.terraform.aws_double.evaluation import Call, Policies, decide, statements_of
from tests.terraform.policies.account import NAME, OTHER, REGION, Account
from tests.terraform.policies.permissions import BOUNDARY, DELIVERY, EVERYTHING, EXPECTATIONS

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("account")]

HERE = {"aws:RequestedRegion": REGION}
OWN, OTHERS = {**HERE, "aws:ResourceTag/Environment": "test"}, {**HERE, "aws:ResourceTag/Environment": "other"}

BY_TAG = {
    "apigateway:DELETE": f"arn:aws:apigateway:{REGION}::/apis/one",
    "apigateway:PATCH": f"arn:aws:apigateway:{REGION}::/apis/one/routes/two",
    "application-autoscaling:DeregisterScalableTarget": "arn:aws:application-autoscaling:::scalable-target/1",
    "backup:DeleteBackupVault": f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:one",
    "backup:DeleteRecoveryPoint": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:job-1",
    "cloudfront:UpdateDistribution": f"arn:aws:cloudfront::{ACCOUNT}:distribution/ONE",
    "cognito-idp:AdminCreateUser": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_1",
    "cognito-idp:CreateUserPoolClient": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_1",
    "cognito-idp:DescribeUserPoolClient": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_1",
    "ec2:AuthorizeSecurityGroupIngress": f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1",
    "ec2:CreateTags": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-1",
    "kms:CreateGrant": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "kms:Decrypt": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "kms:PutKeyPolicy": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "kms:ScheduleKeyDeletion": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "kms:TagResource": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "logs:DeleteDelivery": f"arn:aws:logs:{REGION}:{ACCOUNT}:delivery:1",
    "mq:CreateUser": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:one:b-1",
    "mq:DeleteBroker": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:one:b-1",
    "mq:UpdateUser": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:one:b-1",
    "rds:RestoreDBClusterFromSnapshot": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:job-1",
    "wafv2:UpdateWebACL": f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/webacl/one/1",
}
"""Changes of resources whose ARNs carry ids of AWS."""

BY_NAME = {
    "budgets:ModifyBudget": "arn:aws:budgets::{account}:budget/{name}-monthly",
    "cloudwatch:DeleteAlarms": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}-api-5xx",
    "ecs:ExecuteCommand": "arn:aws:ecs:{region}:{account}:task/{name}/1",
    "elasticloadbalancing:ModifyRule": "arn:aws:elasticloadbalancing:{region}:{account}:listener-rule/app/{name}/1/2/3",
    "iam:PassRole": "arn:aws:iam::{account}:role/{name}-file-service-task",
    "kms:UpdateAlias": "arn:aws:kms:{region}:{account}:alias/{name}-objects",
    "lambda:InvokeFunction": "arn:aws:lambda:{region}:{account}:function:{name}-rotation",
    "lambda:UpdateFunctionCode": "arn:aws:lambda:{region}:{account}:function:{name}-rotation",
    "logs:GetLogEvents": "arn:aws:logs:{region}:{account}:log-group:/{name}/file-service:*",
    "rds:DeleteDBCluster": "arn:aws:rds:{region}:{account}:cluster:{name}-database",
    "s3:PutReplicationConfiguration": "arn:aws:s3:::{name}-objects-{account}",
    "scheduler:UpdateSchedule": "arn:aws:scheduler:{region}:{account}:schedule/default/{name}-housekeeping",
    "secretsmanager:GetSecretValue": "arn:aws:secretsmanager:{region}:{account}:secret:{name}/database-abcdef",
    "sns:DeleteTopic": "arn:aws:sns:{region}:{account}:{name}-alarms",
    "sqs:PurgeQueue": "arn:aws:sqs:{region}:{account}:{name}-upload-events",
}
"""Changes of resources whose ARNs carry their names."""

FOR_NOBODY = [
    ("ec2:ModifyInstanceAttribute", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"),
    ("ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/converto/file-service"),
    ("ecr:BatchDeleteImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/converto/file-service"),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/one"),
    ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1"),
    ("s3:PutAccountPublicAccessBlock", "*"),
    ("s3:BypassGovernanceRetention", f"arn:aws:s3:::{NAME}-state/test/terraform.tfstate"),
    ("s3:ReplicateObject", f"arn:aws:s3:::{NAME}-state/production/terraform.tfstate"),
    ("s3:RestoreObject", f"arn:aws:s3:::{NAME}-objects-{ACCOUNT}/t/owner/in/1/1/source"),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
    ("tag:TagResources", "*"),
]


def may(account: Account, action: str, resource: str, context: dict[str, str], role: str = "self_made") -> bool:
    """Whether the boundary lets a role do what its own policy allows."""
    call = Call(action, resource, {**context, "aws:PrincipalArn": account.roles[role]}, account.roles[role])
    return decide(call, Policies([EVERYTHING], boundary=account.documents["deploy_boundary"])).is_allowed


def allowed_by(document: str) -> Iterator[tuple[str, str]]:
    """Every pair of an action and a resource of its service that the statements of a document allow."""
    for statement in statements_of(document):
        if statement["Effect"] == "Allow":
            pairs = itertools.product(listed(statement["Action"]), listed(statement["Resource"]))
            yield from ((a, r) for a, r in pairs if r == "*" or r.split(":")[2] == a.split(":")[0])


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@pytest.mark.parametrize("role", [role for role in EXPECTATIONS if role not in DELIVERY])
def test_boundary_stops_no_service_in_its_work(account: Account, role: str) -> None:
    stopped = [pair for pair in allowed_by(account.documents[role]) if not may(account, *pair, OWN, role)]

    assert stopped == []


def test_boundary_lets_deployments_change_what_is_named(account: Account) -> None:
    context = {**OWN, "iam:PermissionsBoundary": BOUNDARY}
    named = [pair for pair in allowed_by(account.documents["github_deploy"]) if pair[1] != "*"]

    assert [pair for pair in named if not may(account, *pair, context, "github_deploy")] == []


@pytest.mark.parametrize("action", BY_TAG)
def test_tag_tells_environments_apart(account: Account, action: str) -> None:
    assert may(account, action, BY_TAG[action], OWN)
    assert not may(account, action, BY_TAG[action], OTHERS)


@pytest.mark.parametrize("action", BY_NAME)
def test_name_tells_environments_apart(account: Account, action: str) -> None:
    own, other = (BY_NAME[action].format(name=name, region=REGION, account=ACCOUNT) for name in (NAME, OTHER))

    assert may(account, action, own, HERE)
    assert not may(account, action, other, HERE)


@pytest.mark.parametrize(("action", "resource"), FOR_NOBODY)
def test_boundary_lets_nobody_leave_the_environment(account: Account, action: str, resource: str) -> None:
    assert not may(account, action, resource, HERE)


def test_plan_denies_contents_whatever_else_is_attached(account: Account) -> None:
    policies = Policies([EVERYTHING, account.documents["github_plan"]])

    for action in ("secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "logs:GetLogEvents",
                   "logs:FilterLogEvents", "logs:StartQuery", "cognito-idp:DescribeUserPoolClient"):  # fmt: skip
        assert not decide(Call(action, "arn:aws:any", HERE), policies).is_allowed


def test_only_the_own_bucket_sends_upload_events(account: Account) -> None:
    def sends(bucket: str, owner: str = ACCOUNT) -> bool:
        context = {
            **HERE,
            "aws:SourceArn": f"arn:aws:s3:::{bucket}",
            "aws:SourceAccount": owner,
            "aws:SecureTransport": "true",
        }
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}-upload-events"
        policies = Policies([], resource=account.documents["upload_queue"])
        return decide(Call("sqs:SendMessage", queue, context, "s3.amazonaws.com"), policies).is_allowed

    assert sends(account.bucket)
    assert not sends("of-somebody-else")
    assert not sends(account.bucket, owner="999999999999")
