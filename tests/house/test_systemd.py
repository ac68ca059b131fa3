"""The systemd units are valid and start programs that exist."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
PYTHON = "/opt/converto/.venv/bin/python"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """I10: housekeeping has its own entry point for a schedule."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace(PYTHON, sys.executable))
    units = sorted(str(path) for path in tmp_path.iterdir())
    command = ["systemd-analyze", "verify", *units]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert len(units) == 2
    assert (found.returncode, found.stderr) == (0, "")


def test_units_start_an_existing_module() -> None:
    (line,) = [
        line for line in (UNITS / "converto-housekeeping.service").read_text().splitlines() if "ExecStart" in line
    ]
    python, dash_m, module, *options = line.partition("=")[2].split()

    assert (python, dash_m, options) == (PYTHON, "-m", ["--once"])
    assert importlib.util.find_spec(module) is not None
