"""`python -m tests.chaos [--seconds S] [--seed N] [--rate R]`: one run; exits with 0 when its ledger is clean."""

import argparse
import asyncio
import logging
import random
import sys

import structlog

from tests.chaos.report.report import report
from tests.chaos.run import Plan, run


def main() -> int:
    """Run, print the report, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="tests.chaos", description="Inject faults while conversions run, and count what is lost."
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--seed", type=int, default=None, help="the same seed gives the same sources and the same order of faults"
    )
    parser.add_argument("--rate", type=float, default=5.0, help="new conversions per second")
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a clean run too")
    parser.add_argument(
        "--loaded",
        type=int,
        default=0,
        metavar="N",
        help="run N programs per core beside it that keep the machine busy",
    )
    chosen = parser.parse_args()
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    loaded = f" LOADED={chosen.loaded}" if chosen.loaded else ""
    print(f"repeat it with: make chaos SECONDS={chosen.seconds:g} RATE={chosen.rate:g} SEED={seed}{loaded}", flush=True)
    silence_drivers()
    plan = Plan(seconds=chosen.seconds, seed=seed, per_second=chosen.rate, is_kept=chosen.keep, loaded=chosen.loaded)
    outcome = asyncio.run(run(plan, lambda text: print(text, flush=True)))
    print(report(outcome))
    return 0 if outcome.is_clean else 1


def silence_drivers() -> None:
    """Keep the drivers' logs of connections that are meant to break out of the report."""
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())
