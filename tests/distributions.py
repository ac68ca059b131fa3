"""Builds the wheel and the sdist of this repository, and installs the wheel into an empty virtual environment."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from deploy.local.home import REPOSITORY

UV = Path(sys.executable).with_name("uv")
LOCK = REPOSITORY / "deploy" / "requirements" / "cli.txt"


class Distributions(NamedTuple):
    """The two archives that would be published."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Distributions:
    """Build both archives with the locked hatchling; needs no network."""
    run([sys.executable, "-m", "hatchling", "build", "--directory", str(folder)])
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


def install(wheel: Path, environment: Path) -> Path:
    """Install the wheel on the locked packages of the command line; returns the environment's folder of programs."""
    python = environment / "bin" / "python"
    run([str(UV), "venv", "--quiet", "--python", sys.executable, str(environment)])
    pip = [str(UV), "pip", "install", "--quiet", "--python", str(python), "--no-deps"]
    run([*pip, "--require-hashes", "--requirement", str(LOCK)])
    run([*pip, str(wheel)])
    return python.parent


def run(command: list[str]) -> str:
    """Run a program from the repository and return its output; a failure shows what it printed."""
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
