"""Every module is formatted and passes its own tests, which also validate it."""

import re
from collections.abc import Callable

import pytest

from tests.terraform.workspace import Workspace, folders_of

pytestmark = pytest.mark.timeout(400)


def test_configurations_are_formatted(workspace: Workspace, record_property: Callable[[str, object], None]) -> None:
    wrong = workspace.run(".", "fmt", "-check", "-recursive", "-diff", "-no-color", "terraform", check=False)

    assert wrong == ""
    count = len(list((workspace.root / "terraform").rglob("*.tf")))
    record_property("formatted", f"{count} files")


@pytest.mark.parametrize("module", folders_of("modules"))
def test_module_passes_its_tests(
    workspace: Workspace, module: str, record_property: Callable[[str, object], None]
) -> None:
    folder = f"terraform/modules/{module}"
    workspace.run(folder, "init", "-backend=false", "-no-color")
    printed = workspace.run(folder, "test", "-no-color")
    passed, failed = re.findall(r"(\d+) passed, (\d+) failed", printed)[-1]

    assert int(passed) >= 1
    assert failed == "0"
    record_property("tested", f"modules/{module}: {passed} runs")
