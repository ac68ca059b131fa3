"""Runs both load benchmarks, one after the other: `python -m bench.load`."""

import subprocess
import sys

ALL = ("bench.load.backlog", "bench.load.burst")


def main() -> int:
    """Return 0 if every limit was met."""
    # Each runs in its own process, so that none inherits memory or open connections.
    return max(subprocess.run([sys.executable, "-m", name], check=False).returncode for name in ALL)


if __name__ == "__main__":
    sys.exit(main())
