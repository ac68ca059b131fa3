"""`python -m tests.mutants` tries every mutant and exits 1 unless all are caught; see `--only` and `--list`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue.everything import MUTANTS
from tests.mutants.tree import Outcome
from tests.mutants.trial import Trial, Verdict

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
TIMEOUT_S = 600.0  # of one run; the wide set takes a minute or two on a quiet core, and each test has its own limit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    chosen = _parse(arguments)
    mutants = [mutant for mutant in MUTANTS if all(word in mutant.name for word in chosen.only)]
    if chosen.list or not mutants:
        print("\n".join(f"{mutant.name}: {mutant.harm}" for mutant in mutants) or "No mutant has such a name.")
        return 0 if mutants else 2
    started_s = time.monotonic()
    with Trial(ROOT, processes=chosen.processes, timeout_s=TIMEOUT_S).ready() as trial:
        if not chosen.only and (run := trial.test_unchanged()).outcome is not Outcome.PASSED:
            print(f"The tests do not pass without a fault, so nothing can be judged: {run.outcome} {run.detail}")
            return 1
        verdicts = trial.judge_all(mutants, _print)
    return summarize(verdicts, took_s=time.monotonic() - started_s)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.mutants", description="Try deliberate faults against the tests.")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORDS", help="mutants whose name has these words"
    )
    parser.add_argument("--list", action="store_true", help="print names and harms, and run nothing")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N", help="runs side by side (default: 2)")
    return parser.parse_args(arguments)


def _print(verdict: Verdict) -> None:
    print(
        f"{verdict.judgement:<14}  {verdict.mutant.name}\n{'':<16}{verdict.mutant.file}: {verdict.detail}", flush=True
    )


def summarize(verdicts: Sequence[Verdict], *, took_s: float) -> int:
    """Print the totals and what was not caught, and return the exit status."""
    bad = [verdict for verdict in verdicts if not verdict.is_good]
    print(f"\n{len(verdicts)} mutants in {took_s:.0f} s: {'all caught' if not bad else f'{len(bad)} not caught'}")
    for verdict in bad:
        print(f"  {verdict.judgement}: {verdict.mutant.name} ({verdict.mutant.file})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
