"""`python -m tests.chaos.soak [--minutes M] [--rate R]`: a low rate without faults; memory has to stay flat."""

import argparse
import asyncio
import random
import sys

from tests.chaos.__main__ import silence_drivers
from tests.chaos.report.report import report
from tests.chaos.run import Plan, run


def main() -> int:
    """Run, print the report, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="tests.chaos.soak", description="Convert at a low rate for long, and judge memory and what is left over."
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=0.5, help="new conversions per second")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a clean run too")
    chosen = parser.parse_args()
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    print(f"repeat it with: make soak MINUTES={chosen.minutes:g} RATE={chosen.rate:g} SEED={seed}", flush=True)
    silence_drivers()
    plan = Plan(seconds=chosen.minutes * 60, seed=seed, per_second=chosen.rate, is_kept=chosen.keep, is_soak=True)
    outcome = asyncio.run(run(plan, lambda text: print(text, flush=True)))
    print(report(outcome))
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
