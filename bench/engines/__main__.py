"""Runs all benchmarks of the converters: `python -m bench.engines`."""

import subprocess
import sys

from bench.__main__ import corpus

ALONE = ("bench.engines.pictures", "bench.engines.video")
ON_REAL_FILES = (
    "bench.engines.office",
    "bench.engines.office_endurance",
    "bench.engines.pages",
    "bench.engines.cad",
    "bench.engines.corpus",
    "bench.engines.hostile",
)


def main() -> int:
    """Return 0 when every limit was kept."""
    found = corpus()
    if found is None:
        print("Measuring generated files only: set CONVERTO_CORPUS to a folder with real ones.")
    commands = [[name] for name in ALONE] + [[name, str(found)] for name in ON_REAL_FILES if found]
    # Each runs in its own process, so that none inherits memory or warm programs.
    statuses = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in commands]
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
