"""Runs the scripts of workflows and composite actions as GitHub does; programs of the runners are stubs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "a" * 64
REGISTRY = "registry.example"
IMAGES = ("file-service", "worker-image", "worker-media", "worker-model", "worker-office", "rotation")

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed; GitHub's runners have it")


def script(path: str, name: str) -> str:
    """Return the script of a named step of a workflow or a composite action."""
    document: dict[str, Any] = yaml.safe_load((ROOT / ".github" / path).read_text())
    parts = document["jobs"].values() if "jobs" in document else [document["runs"]]
    (found,) = [step["run"] for part in parts for step in part.get("steps", ()) if step.get("name") == name]
    return str(found)


def run(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as GitHub does; programs in `folder/bin` come first."""
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output"), **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=20)


def stub(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The folder `release` as the images workflow makes it from the digests of its jobs."""
    folder = tmp_path / "release"
    for image in IMAGES:
        path = folder / "digests" / f"{image}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"{image}": "{REGISTRY}/converto/{image}@{DIGEST}"}}')
    done = run(script("workflows/images.yml", "Name every service's image by digest"), folder, VERSION="1.2.3")
    assert done.returncode == 0, done.stderr
    return folder


def hash_of(release: Path) -> str:
    return re.findall(r"^sha256=([0-9a-f]{64})$", (release / "output").read_text(), re.MULTILINE)[0]


def answer(folder: Path, answers: dict[str, Any]) -> None:
    """Put a stub of `gh api PATH --jq FILTER` into a folder; it filters the answer to PATH, and fails without one."""
    (folder / "answers.json").write_text(json.dumps(answers))
    stub(
        folder / "bin/gh",
        f"""[ "$1 $3" = "api --jq" ] || exit 9
        body=$(jq --exit-status --arg path "$2" '.[$path]' {folder}/answers.json) || exit 1
        jq --raw-output "$4" <<< "$body" """,
    )
