"""The double decides as IAM does: denials first, boundaries, conditions, resource policies; needs no Terraform."""

import json
from typing import Any

import pytest

from tests.terraform.aws_double.conditions import Context, UnknownOperator, are_met
from tests.terraform.aws_double.evaluation import Call, Policies, decide

OBJECT = "arn:aws:s3:::bucket/t/owner/in/1"
ROLE = "arn:aws:sts::123456789012:assumed-role/worker/test"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str] = "s3:*", resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Sid": "Yes", "Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str = "s3:*", resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Sid": "No", "Effect": "Deny", "Action": action, "Resource": resource, **more}


def is_allowed(policies: Policies, call: Call | None = None) -> bool:
    return decide(call or Call("s3:GetObject", OBJECT, {}, ROLE), policies).is_allowed


def test_nothing_is_allowed_by_default() -> None:
    assert not is_allowed(Policies(identity=[]))
    assert not is_allowed(Policies(identity=[document(allow("s3:PutObject"))]))
    assert not is_allowed(Policies(identity=[document(allow(resource="arn:aws:s3:::bucket/t/*/out/*"))]))


def test_wildcards_match_across_slashes_and_action_case() -> None:
    assert is_allowed(Policies(identity=[document(allow("S3:getobject", "arn:aws:s3:::bucket/t/*/in/*"))]))
    assert is_allowed(Policies(identity=[document(allow(["s3:Get*"], "arn:aws:s3:::bucket/t/owne?/in/1"))]))
    assert not is_allowed(Policies(identity=[document(allow(resource="ARN:aws:s3:::bucket/*"))]))


def test_denial_wins_wherever_it_stands() -> None:
    yes = document(allow())

    assert not is_allowed(Policies(identity=[yes, document(deny())]))
    assert not is_allowed(Policies(identity=[yes], resource=document(deny(Principal={"AWS": "*"}))))
    assert not is_allowed(Policies(identity=[yes], boundary=document(allow(), deny())))


def test_boundary_limits_what_the_role_is_allowed() -> None:
    yes = document(allow())

    assert is_allowed(Policies(identity=[yes], boundary=yes))
    assert not is_allowed(Policies(identity=[yes], boundary=document(allow("sqs:*"))))
    assert not is_allowed(Policies(identity=[], boundary=yes))


def test_resource_policy_allows_whom_it_names() -> None:
    def by(principal: Any) -> Policies:
        return Policies(identity=[], resource=document(allow(Principal=principal)))

    assert is_allowed(by("*"))
    assert is_allowed(by({"AWS": ROLE}))
    assert not is_allowed(by({"AWS": ROLE.replace("worker", "other")}))
    assert not is_allowed(by({"Service": "s3.amazonaws.com"}))


def test_not_action_and_not_resource_are_complements() -> None:
    others = {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "*"}
    elsewhere = {"Effect": "Deny", "Action": "s3:*", "NotResource": "arn:aws:s3:::bucket/*"}

    assert is_allowed(Policies(identity=[document(allow(), others, elsewhere)]))
    put = Call("s3:PutObject", OBJECT, {}, ROLE)
    assert not is_allowed(Policies(identity=[document(allow(), others)]), put)
    stranger = Call("s3:GetObject", "arn:aws:s3:::other/1", {}, ROLE)
    assert not is_allowed(Policies(identity=[document(allow(), elsewhere)]), stranger)


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"aws:PrincipalAccount": "1"}}, {"aws:principalaccount": "1"}, True),
        ({"StringEquals": {"k": ["1", "2"]}}, {"k": "2"}, True),
        ({"StringEquals": {"k": "1"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "1"}}, {}, True),
        ({"StringNotEquals": {"k": "1"}}, {}, True),
        ({"StringNotEquals": {"k": ["1", "2"]}}, {"k": "2"}, False),
        ({"StringLike": {"k": "t/*"}}, {"k": "t/owner/in"}, True),
        ({"StringLike": {"k": "t/*"}}, {"k": "u/"}, False),
        ({"ArnEquals": {"k": "arn:aws:ecs:*:*:cluster/a"}}, {"k": "arn:aws:ecs:r:1:cluster/a"}, True),
        ({"ArnNotEqualsIfExists": {"k": "a"}}, {"k": "a"}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
        ({"BoolIfExists": {"k": "false"}}, {"k": "true"}, False),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.1"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {}, False),
        ({"NumericGreaterThan": {"k": "10"}}, {"k": "9"}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "c"]}, False),
        ({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "c"]}, True),
        ({"StringEquals": {"k": "1"}, "Bool": {"l": "true"}}, {"k": "1", "l": "false"}, False),
    ],
)
def test_condition_holds_as_in_iam(
    condition: dict[str, dict[str, str | list[str]]], context: Context, expected: bool
) -> None:
    assert are_met(condition, context) is expected


def test_unknown_operator_is_an_error() -> None:
    with pytest.raises(UnknownOperator):
        are_met({"DateGreaterThan": {"k": "1"}}, {"k": "1"})
