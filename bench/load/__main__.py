"""Both benchmarks of load, one after the other: `python -m bench.load`. It measures nothing itself."""

import subprocess
import sys

ALL = ("bench.load.backlog", "bench.load.burst")


def main() -> int:
    """0 when every limit was kept."""
    # Each in a process of its own, so that none inherits connections or memory of the one before.
    return max(subprocess.run([sys.executable, "-m", name], check=False).returncode for name in ALL)


if __name__ == "__main__":
    sys.exit(main())
