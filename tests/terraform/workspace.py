"""Runs Terraform in a copy of this repository's configurations, so that the repository stays clean."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.home import REPOSITORY
from tests.terraform.mirror import Found

ASSETS = Path("tests/terraform/assets")
LEFT_OUT = shutil.ignore_patterns(".terraform", "*.tfstate*", "__pycache__")
TIMEOUT_S = 420

# Terraform must meet the double and nothing else, whatever the shell that started the tests knows about AWS.
OFFLINE = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_MAX_ATTEMPTS": "2",  # what the double lacks fails at once instead of after nine minutes
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    "TF_INPUT": "0",
}


def folders_of(kind: str) -> list[str]:
    """The configurations below `terraform/<kind>`, by name."""
    root = REPOSITORY / "terraform" / kind
    return sorted(path.name for path in root.iterdir() if any(path.glob("*.tf"))) if root.is_dir() else []


def variables_of(configuration: str) -> list[str]:
    """Arguments for what a configuration needs to be told: those of all environments, then its own."""
    given = (ASSETS / "environments.tfvars.json", ASSETS / f"{configuration.replace('/', '-')}.tfvars.json")
    return [f"-var-file={REPOSITORY / path}" for path in given if (REPOSITORY / path).exists()]


class Failed(AssertionError):
    """Raised with what Terraform printed."""


class Plan(NamedTuple):
    """What a plan would do, from `terraform show -json`."""

    created: int
    types: int
    resources: list[dict[str, Any]]


class Workspace:
    """A copy of `terraform/` and of the assets beside the tests; `terraform` runs in its folders."""

    def __init__(self, found: Found, root: Path) -> None:
        self._found, self.root = found, root
        if (REPOSITORY / "terraform").is_dir():
            shutil.copytree(REPOSITORY / "terraform", root / "terraform", ignore=LEFT_OUT)
        shutil.copytree(REPOSITORY / ASSETS, root / ASSETS, ignore=LEFT_OUT)

    def run(
        self, folder: str | Path, *arguments: str, environment: Mapping[str, str] | None = None, check: bool = True
    ) -> str:
        """Run `terraform` in a folder and return what it printed; raises `Failed`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        variables = {**kept, **OFFLINE, "TF_CLI_CONFIG_FILE": self._found.cli_config, **(environment or {})}
        done = subprocess.run(
            [self._found.program, *arguments],
            cwd=self.root / folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if check and done.returncode != 0:
            raise Failed(f"terraform {' '.join(arguments)} in {folder}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def init(self, folder: str | Path) -> None:
        """Install the provider (a link to the mirror) and modules; state stays in the folder."""
        (self.root / folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        # A lock file made elsewhere has no hash of an unpacked mirror on this platform.
        (self.root / folder / ".terraform.lock.hcl").unlink(missing_ok=True)
        self.run(folder, "init", "-no-color")

    def plan(self, folder: str | Path, *arguments: str, environment: Mapping[str, str]) -> Plan:
        """Plan into `planned` and read it back."""
        self.run(folder, "plan", "-no-color", "-out=planned", *arguments, environment=environment)
        shown = json.loads(self.run(folder, "show", "-json", "planned", environment=environment))
        changes = [one for one in shown.get("resource_changes", []) if "create" in one["change"]["actions"]]
        return Plan(len(changes), len({one["type"] for one in changes}), changes)

    def outputs(self, folder: str | Path) -> dict[str, Any]:
        """The values of all outputs."""
        shown = json.loads(self.run(folder, "output", "-json"))
        return {name: one["value"] for name, one in shown.items()}

    def state_count(self, folder: str | Path) -> int:
        """How many resources the state holds, without data."""
        lines = self.run(folder, "state", "list", check=False).splitlines()
        return len([line for line in lines if not re.search(r"(^|\.)data\.", line)])
