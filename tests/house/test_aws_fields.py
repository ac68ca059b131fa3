"""Texts and names in terraform/ that AWS checks at the apply only: their characters and their length."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2] / "terraform"
FILES = sorted(path for path in ROOT.rglob("*.tf") if ".terraform" not in path.parts)

LONGEST_NAME = "n" * 15 + "-" + "n" * 15
LONGEST_SERVICE = "s" * 10 + "-" + "s" * 10
FULL_NAME = f"{LONGEST_NAME}-{LONGEST_SERVICE}"
REPOSITORY = "Owner-1/a.repository_2"


class Field(NamedTuple):
    """What AWS admits in one argument."""

    pattern: str
    longest: int


PLAIN = r"[\w-]+"
EC2_TEXT = Field(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*", 255)
IAM_TEXT = Field(r"[\t\n\r -~\u00a1-\u00ff]*", 1000)
IAM_NAME = r"[\w+=,.@-]+"
COGNITO_NAME = Field(r"[\w\s+=,.@-]+", 128)
LOG_GROUP = Field(r"[.\-_/#A-Za-z0-9]+", 512)
ANY_TEXT = r"[ -~]*"

FIELDS = {
    "aws_appautoscaling_policy.name": Field(ANY_TEXT, 256),
    "aws_apigatewayv2_api.name": Field(ANY_TEXT, 128),
    "aws_apigatewayv2_api.description": Field(ANY_TEXT, 1024),
    "aws_apigatewayv2_authorizer.name": Field(ANY_TEXT, 128),
    "aws_apigatewayv2_integration.description": Field(ANY_TEXT, 1024),
    "aws_apigatewayv2_vpc_link.name": Field(ANY_TEXT, 128),
    "aws_backup_plan.name": Field(ANY_TEXT, 50),
    "aws_backup_selection.name": Field(r"[a-zA-Z0-9\-_.]+", 50),
    "aws_backup_vault.name": Field(r"[a-zA-Z0-9\-_]{2,}", 50),
    "aws_budgets_budget.name": Field(r"[^:\\]+", 100),
    "aws_cloudfront_distribution.comment": Field(ANY_TEXT, 128),
    "aws_cloudfront_function.name": Field(r"[a-zA-Z0-9_-]+", 64),
    "aws_cloudfront_function.comment": Field(ANY_TEXT, 128),
    "aws_cloudfront_response_headers_policy.name": Field(ANY_TEXT, 128),
    "aws_cloudfront_response_headers_policy.comment": Field(ANY_TEXT, 128),
    "aws_cloudwatch_log_delivery_destination.name": Field(PLAIN, 60),
    "aws_cloudwatch_log_delivery_source.name": Field(PLAIN, 60),
    "aws_cloudwatch_log_group.name": LOG_GROUP,
    "aws_cloudwatch_metric_alarm.alarm_name": Field(ANY_TEXT, 255),
    "aws_cloudwatch_metric_alarm.alarm_description": Field(ANY_TEXT, 1024),
    "aws_cognito_resource_server.identifier": Field(r"[\x21\x23-\x5b\x5d-\x7e]+", 256),
    "aws_cognito_resource_server.name": Field(COGNITO_NAME.pattern, 256),
    "aws_cognito_user_pool.name": COGNITO_NAME,
    "aws_cognito_user_pool_client.name": COGNITO_NAME,
    "aws_cognito_user_pool_domain.domain": Field(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", 63),
    "aws_docdb_cluster.cluster_identifier": Field(r"[a-z](?:-?[a-z0-9])*", 63),
    "aws_docdb_cluster.final_snapshot_identifier": Field(r"[a-z](?:-?[a-z0-9])*", 255),
    "aws_docdb_cluster.master_username": Field(r"[a-zA-Z][a-zA-Z0-9]*", 63),
    "aws_docdb_cluster_instance.identifier": Field(r"[a-z](?:-?[a-z0-9])*", 63),
    "aws_docdb_cluster_parameter_group.name": Field(r"[a-z](?:-?[a-z0-9])*", 255),
    "aws_docdb_cluster_parameter_group.description": Field(ANY_TEXT, 255),
    "aws_docdb_subnet_group.name": Field(r"[a-z0-9._\- ]+", 255),
    "aws_docdb_subnet_group.description": Field(ANY_TEXT, 255),
    "aws_ecr_repository.name": Field(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*", 256),
    "aws_ecs_cluster.name": Field(PLAIN, 255),
    "aws_ecs_service.name": Field(PLAIN, 255),
    "aws_ecs_task_definition.family": Field(PLAIN, 255),
    "aws_iam_policy.name": Field(IAM_NAME, 128),
    "aws_iam_policy.description": IAM_TEXT,
    "aws_iam_role.name": Field(IAM_NAME, 64),
    "aws_iam_role.description": IAM_TEXT,
    "aws_iam_role_policy.name": Field(IAM_NAME, 128),
    "aws_kms_alias.name": Field(r"alias/[a-zA-Z0-9/_-]+", 256),
    "aws_kms_key.description": Field(ANY_TEXT, 8192),
    "aws_lambda_function.description": Field(ANY_TEXT, 256),
    "aws_lambda_function.function_name": Field(r"[a-zA-Z0-9_-]+", 64),
    "aws_lb.name": Field(r"(?!internal-)[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?", 32),
    "aws_lb_target_group.name": Field(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?", 32),
    "aws_mq_broker.broker_name": Field(r"[a-zA-Z0-9_-]+", 50),
    "aws_mq_configuration.name": Field(r"[a-zA-Z0-9._~-]+", 150),
    "aws_mq_configuration.description": Field(ANY_TEXT, 1024),
    "aws_s3_bucket.bucket": Field(r"[a-z0-9][a-z0-9-]+[a-z0-9]", 63),
    "aws_scheduler_schedule.name": Field(r"[0-9a-zA-Z._-]+", 64),
    "aws_scheduler_schedule.description": Field(ANY_TEXT, 512),
    "aws_secretsmanager_secret.name": Field(r"[a-zA-Z0-9/_+=.@-]+", 512),
    "aws_secretsmanager_secret.description": Field(ANY_TEXT, 2048),
    "aws_security_group.name": Field(rf"(?!sg-){EC2_TEXT.pattern}", 255),
    "aws_security_group.description": EC2_TEXT,
    "aws_sns_topic.name": Field(r"[a-zA-Z0-9_-]+", 256),
    "aws_sns_topic.display_name": Field(ANY_TEXT, 100),
    "aws_sqs_queue.name": Field(r"[a-zA-Z0-9_-]+", 80),
    "aws_vpc_security_group_egress_rule.description": EC2_TEXT,
    "aws_vpc_security_group_ingress_rule.description": EC2_TEXT,
    "aws_wafv2_web_acl.name": Field(PLAIN, 128),
    "aws_wafv2_web_acl.description": Field(r"[\w+=:#@/\-,.][\w+=:#@/\-,.\s]+[\w+=:#@/\-,.]", 256),
}
CHECKED_BY_TERRAFORM = {
    "aws_route53_record.name",  # an input of its own, checked where it is declared
    "aws_apigatewayv2_stage.name",  # `$default` is AWS's own word
    "aws_docdb_cluster_parameter_group.family",  # one of AWS's families
    "aws_eip.domain",  # the word `vpc`
    "aws_cloudwatch_metric_alarm.metric_name",  # AWS's own metrics
}
CLIENT = "worker-abc-1"
"""A key of a map of security groups or ranges, as far as the modules' validations admit it."""

SHAPES = {
    "var.name": LONGEST_NAME,
    "var.service": LONGEST_SERVICE,
    "var.repository": REPOSITORY,
    "var.account_id": "0" * 12,
    "local.full_name": FULL_NAME,
    "local.flow_log_group": f"/{LONGEST_NAME}/flow-logs",
    "local.identifier": "converto",
    "local.state_bucket": f"{LONGEST_NAME}-state-{'0' * 12}",
    "local.bucket": f"{LONGEST_NAME}-objects-{'0' * 12}",
    "local.access_log_bucket": f"{LONGEST_NAME}-access-logs-{'0' * 12}",
    "var.alarm_5xx_percent": "12.5",
    "var.alarm_latency_s": "12.5",
    "substr(var.name, 0, 26)": LONGEST_NAME[:26],
    "coalesce(var.domain_prefix, var.name)": LONGEST_NAME,
    "each.value.description": "First API key: an administrator's",
    'replace(each.key, "_", "-")': "bootstrap-api-key",
}
"""The longest text that each expression may stand for."""

# What `each` is in one file, and names that are shorter there.
LOCAL_SHAPES = {
    "modules/broker/main.tf": {"each.key": CLIENT},
    "modules/database/main.tf": {"each.key": CLIENT},
    "modules/edge/api.tf": {"each.key": "with_api_key"},
    "modules/edge/cloudfront.tf": {"each.key": "streams"},
    "modules/edge/web-acl/main.tf": {"var.name": f"{LONGEST_NAME}-load-balancer"},
    "modules/github-oidc/main.tf": {"var.name": "converto", "each.key": "e" * 22},
    "modules/identity/main.tf": {"each.key": "c" * 63},
    "modules/kms/main.tf": {"each.key": "database", "each.value": "records (and backups) of the database"},
    "modules/load-balancer/main.tf": {"each.key": "green"},
    "modules/network/endpoints.tf": {"each.key": "ap-southeast-1a"},
    "modules/registry/main.tf": {"each.key": "r" * 31},
    "modules/secrets/rotation.tf": {"each.key": "Management API"},
    "modules/service/alarms.tf": {"each.key": "green"},
    "modules/service/network.tf": {"each.key": CLIENT},
    "modules/service/roles.tf": {"each.key": "execution"},
}

LOOKS_CHECKED = re.compile(
    r"name|description|comment|display_name|domain|family|identifier|cluster_identifier|final_snapshot_identifier"
    r"|bucket|alarm_name|alarm_description|metric_name|broker_name|function_name|master_username"
)
SIMPLE = re.compile(r"(?:var|local|each)\.[\w.]+|\w+\(.*\)")


def settings_of(path: Path) -> Iterator[tuple[str, str]]:
    """Resource type with argument, and the expression, of each argument in question of a file."""
    for block in re.finditer(
        r'^resource "(\w+)" "\w+" \{\n(.*?)^\}', path.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        for argument, expression in re.findall(r"^  (\w+) += (.*)$", block[2], re.MULTILINE):
            if LOOKS_CHECKED.fullmatch(argument) and not expression.startswith("aws_"):
                yield f"{block[1]}.{argument}", re.sub(r"\s+#[^\"]*$", "", expression)


def texts_of(expression: str, shapes: dict[str, str]) -> list[str]:
    """The longest texts that an expression may become; raises KeyError for a part whose shape is not known."""
    if SIMPLE.fullmatch(expression):
        return [shapes[expression]]
    filled = re.sub(r"\$\{([^{}]*)\}", lambda found: shapes[found[1]], expression)
    return re.findall(r'"([^"]*)"', filled)


def in_terraform(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=in_terraform)
def test_aws_admits_names_and_descriptions(path: Path) -> None:
    shapes = {**SHAPES, **LOCAL_SHAPES.get(in_terraform(path), {})}
    refused = [
        f"{field}: {text!r}"
        for field, expression in settings_of(path)
        if field in FIELDS
        for text in texts_of(expression, shapes)
        if not re.fullmatch(FIELDS[field].pattern, text) or len(text) > FIELDS[field].longest
    ]

    assert refused == []


@pytest.mark.parametrize("path", FILES, ids=in_terraform)
def test_ids_of_statements_are_letters_and_digits(path: Path) -> None:
    ids = re.findall(r'^ +[Ss]id += "([^"]*)"', path.read_text("utf-8"), re.MULTILINE)

    assert [one for one in ids if not re.fullmatch(r"[A-Za-z0-9]+", one)] == []


def test_rule_is_known_for_every_field() -> None:
    found = {field for path in FILES for field, _ in settings_of(path)}
    by_reference = {field for field in found if re.match(r"aws_s3_bucket_\w+\.bucket$", field)}

    assert found - FIELDS.keys() - CHECKED_BY_TERRAFORM - by_reference == set()
    assert len(found) > len(CHECKED_BY_TERRAFORM)


def test_apostrophe_in_a_security_group_is_noticed() -> None:
    [text] = texts_of('"CloudFront\'s way in, ${var.name}"', SHAPES)

    assert not re.fullmatch(EC2_TEXT.pattern, text)
