"""Checks a history for everything that the service promises its clients, and reports what it found."""

from collections.abc import Callable, Iterator

from tests.chaos.history.checks.contents import check_downloads, check_outputs, check_sources
from tests.chaos.history.checks.existence import check_existence
from tests.chaos.history.checks.keys import check_keys, check_numbers
from tests.chaos.history.checks.lists import check_lists
from tests.chaos.history.checks.progress import check_progress, check_tokens
from tests.chaos.history.checks.steps import check_cancelled, check_steps
from tests.chaos.history.history import History
from tests.chaos.history.violation import Violation

CHECKS: tuple[Callable[[History], Iterator[Violation]], ...] = (
    check_keys,
    check_numbers,
    check_steps,
    check_cancelled,
    check_progress,
    check_tokens,
    check_existence,
    check_lists,
    check_outputs,
    check_downloads,
    check_sources,
)
MOST_SHOWN = 20


def violations_of(history: History) -> list[Violation]:
    """Return the violations of all promises; of one promise and one subject the first only."""
    found: dict[tuple[str, str], Violation] = {}
    for check in CHECKS:
        for violation in check(history):
            found.setdefault((violation.kind, violation.subject), violation)
    return list(found.values())


def report(history: History, violations: list[Violation]) -> list[str]:
    """Return the lines for the ledger: one with the counts, then the violations, each with its calls."""
    counts = (
        f"history             {len(history.calls):,} calls of {history.clients:,} clients about "
        f"{len(history.reads):,} conversions, {len(violations)} violations"
    )
    left_out = [f"and {len(violations) - MOST_SHOWN} more violations"] if len(violations) > MOST_SHOWN else []
    return [counts, *map(str, violations[:MOST_SHOWN]), *left_out]
