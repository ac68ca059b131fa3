"""The plan that was approved is the plan that is applied (M17): Terraform itself, without providers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "aws" / "plan.sh"
CONFIGURATION = """
variable "word" { type = string }
resource "terraform_data" "one" { input = var.word }
output "word" { value = terraform_data.one.output }
"""


class Root:
    """An initialised root module with a local state."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan = folder / "root", folder / "approved.tfplan"
        self.outputs = folder / "outputs"
        self.folder.mkdir()
        (self.folder / "main.tf").write_text(CONFIGURATION)
        self.environment = {**os.environ, "GITHUB_OUTPUT": str(self.outputs), "CHECKPOINT_DISABLE": "1"}
        self.environment.pop("TF_CLI_CONFIG_FILE", None)
        self.terraform("init", "-input=false")

    def terraform(self, *arguments: str) -> str:
        command = ["terraform", f"-chdir={self.folder}", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def make(self, word: str) -> dict[str, str]:
        """Plan; return what the next step of a workflow gets."""
        self.outputs.unlink(missing_ok=True)
        made = self.script("make", str(self.folder), str(self.plan), f"-var=word={word}")
        assert made.returncode == 0, made.stderr
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines())

    def apply(self, sha256: str) -> subprocess.CompletedProcess[str]:
        return self.script("apply", str(self.folder), str(self.plan), sha256)

    @property
    def word(self) -> str:
        return self.terraform("output", "-raw", "word")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    if shutil.which("terraform") is None:
        skip_or_fail("terraform is not installed")
    return Root(tmp_path)


def test_approved_plan_is_applied(root: Root) -> None:
    made = root.make("first")
    applied = root.apply(made["sha256"])

    assert made["changes"] == "true"
    assert applied.returncode == 0, applied.stderr
    assert root.word == "first"
    assert "terraform_data.one" in root.plan.with_suffix(".tfplan.txt").read_text()
    assert root.make("first")["changes"] == "false"


def test_other_plan_than_the_approved_one_is_refused(root: Root) -> None:
    approved = root.make("first")["sha256"]
    root.make("second")
    applied = root.apply(approved)

    assert applied.returncode == 3
    assert "Nothing was applied" in applied.stderr
    assert not (root.folder / "terraform.tfstate").exists()


def test_plan_that_the_state_has_overtaken_is_refused(root: Root, tmp_path: Path) -> None:
    approved = root.make("first")["sha256"]
    shutil.copy(root.plan, kept := tmp_path / "kept.tfplan")
    root.apply(root.make("second")["sha256"])
    shutil.copy(kept, root.plan)
    applied = root.apply(approved)

    assert applied.returncode == 1
    assert "stale" in applied.stderr
    assert root.word == "second"


def test_invalid_configuration_is_no_plan(root: Root) -> None:
    (root.folder / "main.tf").write_text("resource")
    made = root.script("make", str(root.folder), str(root.plan))

    assert made.returncode == 1
    assert not root.outputs.exists()


@pytest.mark.parametrize("arguments", [[], ["apply", ".", "missing.tfplan", "0" * 64], ["show", ".", "a.tfplan"]])
def test_wrong_use_is_named(arguments: list[str]) -> None:
    ran = subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True, timeout=10, check=False)

    assert ran.returncode == 2
    assert "plan.sh" in ran.stderr


def test_shellcheck_finds_nothing() -> None:
    found = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if found is None:
        skip_or_fail("shellcheck is not installed; install deploy/requirements/dev.txt")
    linted = subprocess.run([found, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False)

    assert (linted.returncode, linted.stdout) == (0, "")
