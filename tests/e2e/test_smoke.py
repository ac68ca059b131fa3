"""The smoke test of a deployment against the running stack (M17)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "aws" / "smoke.py"


def smoke(stack: Any, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script as its image does: Python alone (`-I`), without our packages on the path."""
    environment = {"PATH": os.environ["PATH"], "CONVERTO_BOOTSTRAP_API_KEY": stack.api_key if key is None else key}
    command = [sys.executable, "-I", str(SCRIPT), "--url", stack.url, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)


def test_working_stack_passes_and_nothing_is_left(stack: Any, http: httpx2.Client) -> None:
    ran = smoke(stack, "--kind", "document", "--kind", "picture", "--within", "90")
    left = http.get("/api/v1/conversions", params={"client_id": "smoke-test"}).json()

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "smoke.txt → pdf: converted and verified in" in ran.stdout
    assert "smoke.png → webp: converted and verified in" in ran.stdout
    assert ran.stdout.endswith("smoke test: passed\n")
    assert "delete:" not in ran.stdout
    assert left["conversions"] == []


def test_wrong_key_fails_at_the_first_request(stack: Any) -> None:
    ran = smoke(stack, key="cvt_wrong_key")

    assert ran.returncode == 1
    assert "FAILED at create: POST /api/v1/conversions answered 401 unauthorized" in ran.stdout


def test_missing_key_is_wrong_use(stack: Any) -> None:
    ran = smoke(stack, key="")

    assert ran.returncode == 2
    assert "set CONVERTO_API_KEY" in ran.stdout
