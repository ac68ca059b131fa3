"""Runs all benchmarks of a running stack, one after the other: `python -m bench`."""

import os
import subprocess
import sys
from pathlib import Path

from bench.server import running_server


def corpus() -> Path | None:
    """Return the folder of real office files: `CONVERTO_CORPUS`, else the one beside the repository."""
    folder = Path(os.environ.get("CONVERTO_CORPUS") or Path(__file__).resolve().parents[2] / "shared" / "corpus")
    return folder if folder.is_dir() else None


def commands() -> list[list[str]]:
    """Return the benchmarks to run; the office batch needs real files."""
    found = corpus()
    if found is None:
        print("Skipping bench.office_batch: set CONVERTO_CORPUS to a folder that contains pptx, docx, xlsx and odf.")
    office = [["bench.office_batch", str(found)]] if found else []
    return [["bench.path_overhead"], *office, ["bench.big_file"]]


def main() -> int:
    """Return 0 if every limit was met."""
    running_server()  # fail early, and only once, if there is nothing to measure
    # Each runs in its own process, so that none inherits memory or open connections.
    statuses = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in commands()]
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
