"""The account in which all tests of the policies act."""

import pytest

from tests.terraform.aws import Aws
from tests.terraform.policies.account import Account, furnish
from tests.terraform.workspace import Workspace


@pytest.fixture(scope="session")
def account(aws_process: Aws, workspace: Workspace) -> Account:
    """An account in which each policy document is in use."""
    aws_process.reset()
    return furnish(aws_process, workspace)
