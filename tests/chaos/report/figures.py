"""Computes a run's measurements: recovery after a killed worker, success after an outage, answer times."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from tests.chaos.report.journal import Entry
from tests.chaos.service import Interruption
from tests.chaos.system import Outage


class Probe(msgspec.Struct, frozen=True):
    """One request to one file service: time, duration, status (0: no connection) and the healthy dependencies."""

    url: str
    at_s: float
    took_s: float
    status: int
    healthy: frozenset[str] = frozenset()


class Spread(msgspec.Struct, frozen=True):
    """Count, median, 99th percentile and maximum, in seconds."""

    count: int
    p50_s: float
    p99_s: float
    most_s: float


def spread(values: Iterable[float]) -> Spread:
    """Return median, 99th percentile (nearest rank) and maximum; zeros without values."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0, 0.0, 0.0, 0.0)
    return Spread(len(ordered), _rank(ordered, 0.50), _rank(ordered, 0.99), ordered[-1])


def recoveries(
    journal: Sequence[Entry], interruptions: Sequence[Interruption], outages: Sequence[Outage] = ()
) -> list[float]:
    """Return, for each run that an interrupted worker held, the seconds until its conversion was claimed again.

    If one of `outages` lasted meanwhile, its end is the start: reapers that could not reach the database give every
    worker a whole lease again. A conversion that was never claimed again, because it had just ended or was cancelled,
    is left out: the ledger judges it.
    """
    claims: dict[str, list[Entry]] = {}
    for entry in journal:
        if entry.what == "claimed":
            claims.setdefault(entry.conversion, []).append(entry)
    found = []
    for at_s, run in _held(journal, interruptions):
        conversion, _, token = run.rpartition("-")
        later = [entry.at_s for entry in claims.get(conversion, []) if entry.token > int(token)]
        if later:
            found.append(min(later) - _undisturbed_since(at_s, min(later), outages))
    return found


def seconds_to_success(outages: Sequence[Outage], probes: Sequence[Probe]) -> dict[str, list[tuple[float, str]]]:
    """Return by dependency, for each outage, the seconds from healing to the first success, and its fault.

    An outage followed by another one before the first success is left out, because it cannot be measured.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    for outage in outages:
        first_s = _first_success(outage, probes)
        if first_s is not None and not _is_followed(outage, outages, until_s=first_s):
            found.setdefault(outage.dependency, []).append((first_s - outage.healed_s, outage.fault))
    return found


def answer_times(probes: Sequence[Probe], outages: Sequence[Outage], *, fault: str) -> list[float]:
    """Return the durations of requests made during such an outage; unanswered ones count with their wait."""
    during = [(one.began_s, one.healed_s) for one in outages if one.fault == fault]
    return [probe.took_s for probe in probes if any(began <= probe.at_s < healed for began, healed in during)]


def _undisturbed_since(at_s: float, until_s: float, outages: Sequence[Outage]) -> float:
    """Return the end of the last outage between two times, or the first time."""
    meanwhile = [one.healed_s for one in outages if one.began_s < until_s and at_s < one.healed_s]
    return min(max([at_s, *meanwhile]), until_s)


def _held(journal: Sequence[Entry], interruptions: Sequence[Interruption]) -> list[tuple[float, str]]:
    """Return time and run of everything that a worker held when it was interrupted or crashed."""
    crashes = [Interruption(entry.at_s, entry.pid) for entry in journal if entry.what == "crashed"]
    return [(one.at_s, run) for one in (*interruptions, *crashes) for run in _running(journal, one)]


def _running(journal: Sequence[Entry], interruption: Interruption) -> list[str]:
    before = [entry for entry in journal if entry.pid == interruption.pid and entry.at_s <= interruption.at_s]
    ended = {entry.run for entry in before if entry.what == "ended"}
    return [entry.run for entry in before if entry.what == "claimed" and entry.run not in ended]


def _is_followed(outage: Outage, outages: Sequence[Outage], *, until_s: float) -> bool:
    later = [one for one in outages if one.dependency == outage.dependency and one.began_s >= outage.healed_s]
    return any(one.began_s < until_s for one in later)


def _first_success(outage: Outage, probes: Sequence[Probe]) -> float | None:
    later = [one for one in probes if one.at_s >= outage.healed_s and outage.dependency in one.healthy]
    return min((one.at_s + one.took_s for one in later), default=None)


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
