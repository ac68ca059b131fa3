"""checkov finds nothing in terraform/, and each of its exceptions says why (needs no Terraform)."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.home import REPOSITORY
from tests.distributions import UV

LOCK = REPOSITORY / "deploy" / "requirements" / "checkov.txt"
CONFIGURATION = REPOSITORY / ".checkov.yaml"
SKIP = re.compile(r"checkov:skip=(?P<check>CKV2?_[A-Z]+_\d+)(?::(?P<reason>.*))?")
SHORTEST_REASON = 15

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The program, in an environment of its own: it needs other versions of boto3 and its neighbours than the suite."""
    version = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    environment = REPOSITORY / ".converto" / f"checkov-{version}"
    program, complete = environment / "bin" / "checkov", environment / "complete"
    if not complete.exists():
        run([str(UV), "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
        python = str(environment / "bin" / "python")
        install = [str(UV), "pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes"]
        run([*install, "--requirement", str(LOCK)])
        complete.touch()
    return program


def run(command: list[str], *, accepted: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode in accepted, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_checkov_finds_nothing(checkov: Path, record_property: Callable[[str, object], None]) -> None:
    command = [str(checkov), "--directory", "terraform", "--config-file", str(CONFIGURATION), "--output", "json"]
    report = json.loads(run(command, accepted=(0, 1)))
    (results,) = report if isinstance(report, list) else [report]
    failed = {
        f"{check['check_id']} {check['file_path']}:{check['file_line_range'][0]} {check['check_name']}"
        for check in results["results"]["failed_checks"]
    }
    summary = results["summary"]

    assert sorted(failed) == []
    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 50
    record_property("checked", f"checkov: {summary['passed']} passed, {summary['skipped']} skipped with a reason")


def test_every_exception_says_why() -> None:
    unexplained = [
        f"{path.relative_to(REPOSITORY)}: {found['check']}"
        for path in sorted((REPOSITORY / "terraform").rglob("*.tf"))
        for found in SKIP.finditer(path.read_text("utf-8"))
        if len((found["reason"] or "").strip()) < SHORTEST_REASON
    ]

    assert unexplained == []
    assert "skip-check" not in CONFIGURATION.read_text("utf-8")
