"""Executes the policy documents of the environment: each role does what it may, and is refused what it may not."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.terraform.policies import permissions
from tests.terraform.policies.account import Account
from tests.terraform.policies.permissions import EXPECTATIONS, Attempt

REFUSALS = {"AccessDenied", "AccessDeniedException", "403"}
FEWEST_REFUSALS = 10

pytestmark = pytest.mark.timeout(300)


def try_it(account: Account, document: str, attempt: Attempt) -> str | None:
    """Make the call as the role; return the error code, None when it succeeded."""
    client = account.client(attempt.service, document, region=attempt.region)
    try:
        answer: dict[str, Any] = getattr(client, attempt.method)(**attempt.arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    errors = answer.get("Errors", [])
    return str(errors[0]["Code"]) if errors else None


@pytest.mark.parametrize("document", EXPECTATIONS)
def test_role_may_do_its_work_and_nothing_else(
    account: Account, document: str, record_property: Callable[[str, object], None]
) -> None:
    expectation = permissions.of(document, account)
    account.aws.decisions()
    with account.aws.enforcing():
        failed = {str(one): code for one in expectation.may if (code := try_it(account, document, one)) is not None}
        passed = {
            str(one): code for one in expectation.may_not if (code := try_it(account, document, one)) not in REFUSALS
        }
    decisions = account.aws.decisions()

    assert failed == {}
    assert passed == {}
    assert len(expectation.may_not) >= FEWEST_REFUSALS
    assert {one["role"] for one in decisions} == {account.roles[document].rpartition("/")[2]}
    record_property("executed", f"{document}: {len(expectation.may)} calls allowed, {len(expectation.may_not)} denied")
