"""All benchmarks one after the other: `python -m bench`. It measures nothing itself."""

import os
import subprocess
import sys
from pathlib import Path

from bench.server import running_server


def corpus() -> Path | None:
    """The folder of real office files, named by `CONVERTO_CORPUS` or found beside the repository."""
    folder = Path(os.environ.get("CONVERTO_CORPUS") or Path(__file__).resolve().parents[2] / "shared" / "corpus")
    return folder if folder.is_dir() else None


def commands() -> list[list[str]]:
    """What to run; the office batch needs real files."""
    found = corpus()
    if found is None:
        print("bench.office_batch is left out: CONVERTO_CORPUS names no folder with pptx, docx, xlsx and odf in it.")
    office = [["bench.office_batch", str(found)]] if found else []
    return [["bench.path_overhead"], *office, ["bench.big_file"]]


def main() -> int:
    """0 when every limit was kept."""
    running_server()  # says at once, and only once, when there is nothing to measure
    # Each in a process of its own, so that no benchmark inherits memory or open connections of the one before.
    statuses = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in commands()]
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
