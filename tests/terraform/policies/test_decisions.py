"""Calls of `terraform apply` on resources that the double cannot place, decided from the documents alone."""

from collections.abc import Callable

import pytest

from tests.terraform.aws import ACCOUNT
from tests.terraform.aws_double.evaluation import Call, Policies, decide
from tests.terraform.policies.account import NAME, OTHER, REGION, Account

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("account")]


def here(service: str, resource: str, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource}"


def is_allowed(account: Account, action: str, resource: str) -> bool:
    """Whether the deploy role may do this, within the boundary, in the region of the resource or of the environment."""
    region = resource.split(":")[3] if resource.startswith("arn:") else REGION
    policies = Policies([account.documents["github_deploy"]], account.documents["deploy_boundary"])
    return decide(Call(action, resource, {"aws:RequestedRegion": region}), policies).is_allowed


MAY = [
    ("logs:ListLogDeliveries", "*"),
    ("logs:CreateLogDelivery", "*"),
    ("logs:TagResource", here("logs", f"log-group:/{NAME}/cloudfront", "us-east-1")),
    ("logs:ListTagsForResource", here("logs", f"log-group:aws-waf-logs-{NAME}-cloudfront", "us-east-1")),
    ("logs:ListTagsForResource", here("logs", f"log-group:aws-waf-logs-{NAME}-load-balancer")),
    ("logs:PutDeliverySource", here("logs", f"delivery-source:{NAME}-cloudfront", "us-east-1")),
    ("logs:TagResource", here("logs", f"delivery-source:{NAME}-cloudfront", "us-east-1")),
    ("logs:ListTagsForResource", here("logs", f"delivery-destination:{NAME}-cloudfront", "us-east-1")),
    ("logs:CreateDelivery", here("logs", f"delivery-source:{NAME}-cloudfront", "us-east-1")),
    ("logs:TagResource", here("logs", "delivery:Ab12Cd34", "us-east-1")),
    ("cloudfront:AllowVendedLogDeliveryForResource", "*"),
    ("secretsmanager:RotateSecret", here("secretsmanager", "secret:rds!cluster-0815-AbCdEf")),
    ("rds:CreateDBInstance", here("rds", "pg:default.docdb5.0")),
    ("rds:CreateDBInstance", here("rds", f"db:{NAME}-database-1")),
    ("rds:CreateDBCluster", here("rds", f"subgrp:{NAME}-database")),
    ("sns:GetSubscriptionAttributes", "*"),
    ("sns:Unsubscribe", "*"),
    ("cloudwatch:PutMetricAlarm", here("cloudwatch", f"alarm:TargetTracking-service/{NAME}/file-service-AlarmHigh-1")),
]
MAY_NOT = [
    ("logs:TagResource", here("logs", f"log-group:/{OTHER}/cloudfront", "us-east-1")),
    ("logs:TagResource", here("logs", f"delivery-source:{OTHER}-cloudfront", "us-east-1")),
    ("logs:TagResource", here("logs", "delivery:Ab12Cd34", "ap-south-1")),
    ("logs:ListLogDeliveries", here("logs", "*", "ap-south-1")),
    ("secretsmanager:GetSecretValue", here("secretsmanager", "secret:rds!cluster-0815-AbCdEf")),
    ("secretsmanager:PutSecretValue", here("secretsmanager", "secret:rds!cluster-0815-AbCdEf")),
    ("rds:ModifyDBClusterParameterGroup", here("rds", "pg:default.docdb5.0")),
    ("rds:CreateDBInstance", here("rds", f"db:{OTHER}-database-1")),
    ("sns:Subscribe", here("sns", f"{OTHER}-alarms")),
    ("cloudwatch:DeleteAlarms", here("cloudwatch", f"alarm:TargetTracking-service/{OTHER}/file-service-AlarmHigh-1")),
]


def test_deploy_role_may_make_what_the_double_cannot_place(
    account: Account, record_property: Callable[[str, object], None]
) -> None:
    assert [one for one in MAY if not is_allowed(account, *one)] == []
    assert [one for one in MAY_NOT if is_allowed(account, *one)] == []
    record_property("checked", f"document github_deploy: {len(MAY)} calls allowed, {len(MAY_NOT)} denied")
