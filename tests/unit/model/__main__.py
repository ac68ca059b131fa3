"""`python -m tests.unit.model --seeds 10000` explores many seeds; exits with 1 and tells the steps when one fails."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.unit.model.seeds import explorer

MOST_SHRUNK = 5  # failures whose steps are shown; the seeds of the others are named
PROGRESS_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore the seeds and return the exit status."""
    chosen = _parse(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    seen, failed, began_s = Counter[str](), list[int](), time.monotonic()
    shown_s = began_s
    with explorer(chosen.jobs) as exploring:
        for done, (seed, run) in enumerate(exploring.runs(seeds), start=1):
            seen += run.seen
            if run.fault is not None:
                failed.append(seed)
                print(f"seed {seed}: {run.fault}", flush=True)
            if time.monotonic() - shown_s >= PROGRESS_S:
                shown_s = time.monotonic()
                print(f"{done} of {len(seeds)} seeds in {shown_s - began_s:.0f} s, {len(failed)} failed", flush=True)
        for failure in exploring.failures(sorted(failed)[:MOST_SHRUNK]):
            print(f"\n{failure}", flush=True)
    _report(seen, failed, len(seeds), time.monotonic() - began_s)
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.unit.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to explore")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, help="processes; default: one per core")
    return parser.parse_args(arguments)


def _report(seen: Counter[str], failed: list[int], count: int, seconds: float) -> None:
    print(f"\nSeen in {count} seeds ({seconds:.0f} s):")
    for what, times in sorted(seen.items()):
        print(f"{times:>9}  {what}")
    print(f"\nFailed: {', '.join(map(str, sorted(failed))) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
