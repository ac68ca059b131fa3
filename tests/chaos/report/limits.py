"""Limits of a run on a quiet machine: answers of the API, recovery of what a killed worker held."""

import statistics
from collections.abc import Sequence

from tests.chaos.report.entries import Began, Line, Probe, Verdict
from tests.chaos.report.figures import answers_of, black_hole_answers, net_recoveries, spread, successes_after_outages
from tests.chaos.report.journal import Entry
from tests.chaos.report.machine import QUIET_SHARE, foreign_shares

LONGEST_ANSWER_S = 2.0
RECOVERY_AFTER_LEASE_S = 3.0
BLACK_HOLE_ANSWER_S = 1.0
SUCCESS_AFTER_OUTAGE_S = 5.0
MOST_NAMED = 5


def limits_of(lines: Sequence[Line], journal: Sequence[Entry]) -> list[Verdict]:
    """Return the limits that were missed."""
    lease_s = next((line.lease_s for line in lines if isinstance(line, Began)), 0.0)
    found = [_slow_answers([one for one in answers_of(lines) if one.took_s > LONGEST_ANSWER_S])]
    recovery = spread(net_recoveries(lines, journal))
    if recovery.p99_s > lease_s + RECOVERY_AFTER_LEASE_S:
        wanted_s = lease_s + RECOVERY_AFTER_LEASE_S
        found.append(_limit("slow recovery", f"p99 {recovery.p99_s:.1f} s, wanted within {wanted_s:.0f} s"))
    dark = spread(black_hole_answers(lines))
    if dark.p99_s > BLACK_HOLE_ANSWER_S:
        found.append(_limit("slow answers without a database", f"p99 {dark.p99_s:.2f} s, wanted within 1 s"))
    found += _late_successes(lines)
    return [verdict for verdict in found if verdict is not None]


def is_quiet(lines: Sequence[Line]) -> bool:
    """Return whether other programs left the machine to the run; False when nothing was measured."""
    shares = foreign_shares(lines)
    return bool(shares) and statistics.median(shares) <= QUIET_SHARE and shares[0] <= QUIET_SHARE


def _late_successes(lines: Sequence[Line]) -> list[Verdict]:
    return [
        _limit(
            f"late success after an outage of the {dependency}", f"{seconds:.1f} s after {fault!r}, wanted within 5 s"
        )
        for dependency, values in successes_after_outages(lines).items()
        for seconds, fault in values
        if seconds > SUCCESS_AFTER_OUTAGE_S
    ]


def _slow_answers(slow: Sequence[Probe]) -> Verdict | None:
    if not slow:
        return None
    worst = sorted(slow, key=lambda one: -one.took_s)[:MOST_NAMED]
    named = ", ".join(f"{one.took_s:.1f} s ({one.path}, {one.status or 'no answer'})" for one in worst)
    return _limit("answers over 2 s", f"{len(slow)}: {named}")


def _limit(name: str, detail: str) -> Verdict:
    return Verdict(name, detail, is_limit=True)
