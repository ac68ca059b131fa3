"""Runs the command line as a separate process against the running stack."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.home import REPOSITORY

SOURCES = os.pathsep.join(str(REPOSITORY / folder) for folder in ("libs", "services"))
FROM_SOURCES = (sys.executable, "-m", "converto_cli")


def converto(
    stack: Any, *arguments: str, cwd: Path, check: int | None = 0, program: Sequence[str] = FROM_SOURCES
) -> subprocess.CompletedProcess[str]:
    """Run one command and check its exit status, unless `check` is None.

    From the sources of this checkout: the environment may have another one installed.
    """
    environment = {
        **os.environ,
        "CONVERTO_SERVER_URL": stack.url,
        "CONVERTO_API_KEY": stack.api_key,
        "HOME": str(cwd),
        **({"PYTHONPATH": SOURCES} if program is FROM_SOURCES else {}),
    }
    done = subprocess.run(
        [*program, *arguments],
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
