"""`python -m tests.chaos.history FILE`: checks a recorded history; exits with 0 when it has no violation."""

import argparse
import sys
from pathlib import Path

from tests.chaos.history.checker import report, violations_of
from tests.chaos.history.history import read_history


def main() -> int:
    """Check the file, print the report, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="tests.chaos.history", description="Check what clients were told in a chaos run against the promises."
    )
    parser.add_argument("file", type=Path, help="the history of a run, also of one that was killed")
    history = read_history(parser.parse_args().file)
    violations = violations_of(history)
    print("\n".join(report(history, violations)))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
