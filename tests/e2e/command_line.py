"""Runs the command line as a separate process against the running stack."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def converto(stack: Any, *arguments: str, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run one command and check its exit status, unless `check` is None."""
    environment = {**os.environ, "CONVERTO_SERVER_URL": stack.url, "CONVERTO_API_KEY": stack.api_key, "HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-m", "converto_cli", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done
