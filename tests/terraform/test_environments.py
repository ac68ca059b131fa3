"""Every environment and example can be planned, which also validates it; nothing is made."""

from collections.abc import Callable

import pytest

from tests.terraform.aws import Aws
from tests.terraform.workspace import Workspace, folders_of, variables_of

CONFIGURATIONS = [f"{kind}/{name}" for kind in ("environments", "examples") for name in folders_of(kind)]
APPLIED = "environments/production"
"""Planned where it is applied, in test_apply.py."""

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("configuration", [one for one in CONFIGURATIONS if one != APPLIED])
def test_configuration_can_be_planned(
    workspace: Workspace, aws: Aws, configuration: str, record_property: Callable[[str, object], None]
) -> None:
    folder = f"terraform/{configuration}"
    workspace.init(folder)
    plan = workspace.plan(folder, *variables_of(configuration), environment=aws.environment)

    assert plan.created > 0
    record_property("planned", f"{configuration}: {plan.created} resources of {plan.types} types")
