"""Figures of a run from what was written down: recovery after a killed worker, success after an outage, answer times.

Pure: it measures nothing itself.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from tests.chaos.conductor import Blow
from tests.chaos.report.journal import Entry
from tests.chaos.site import Outage


class Probe(msgspec.Struct, frozen=True):
    """One question to one file service: when, how long it took, what it said (0: no connection), who was well."""

    url: str
    at_s: float
    took_s: float
    status: int
    healthy: frozenset[str] = frozenset()


class Spread(msgspec.Struct, frozen=True):
    """Values in seconds by rank."""

    count: int
    p50_s: float
    p99_s: float
    most_s: float


def spread(values: Iterable[float]) -> Spread:
    """Median, 99th percentile (nearest rank) and maximum; zeros without any value."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0, 0.0, 0.0, 0.0)
    return Spread(len(ordered), _rank(ordered, 0.50), _rank(ordered, 0.99), ordered[-1])


def recoveries(journal: Sequence[Entry], blows: Sequence[Blow], outages: Sequence[Outage] = ()) -> list[float]:
    """For each run that a worker held when it was hit: seconds until the same conversion was claimed again.

    Where one of `outages` lasted meanwhile, its end is the start: reapers that could not see the database give every
    worker a whole lease again. What was never claimed again, because it had just ended or was cancelled, is left out:
    that is the ledger's.
    """
    claims: dict[str, list[Entry]] = {}
    for entry in journal:
        if entry.what == "claimed":
            claims.setdefault(entry.conversion, []).append(entry)
    found = []
    for at_s, run in _held(journal, blows):
        conversion, _, token = run.rpartition("-")
        later = [entry.at_s for entry in claims.get(conversion, []) if entry.token > int(token)]
        if later:
            found.append(min(later) - _undisturbed_since(at_s, min(later), outages))
    return found


def seconds_to_success(outages: Sequence[Outage], probes: Sequence[Probe]) -> dict[str, list[tuple[float, str]]]:
    """For each dependency: from healing until a file service has reached it again, with the fault, per outage.

    An outage that was followed by the next one before that is left out: nobody can tell.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    for outage in outages:
        first_s = _first_success(outage, probes)
        if first_s is not None and not _is_followed(outage, outages, until_s=first_s):
            found.setdefault(outage.dependency, []).append((first_s - outage.healed_s, outage.fault))
    return found


def answer_times(probes: Sequence[Probe], outages: Sequence[Outage], *, fault: str) -> list[float]:
    """How long answers took that were asked for during such an outage; unanswered questions count with their wait."""
    during = [(one.began_s, one.healed_s) for one in outages if one.fault == fault]
    return [probe.took_s for probe in probes if any(began <= probe.at_s < healed for began, healed in during)]


def _undisturbed_since(at_s: float, until_s: float, outages: Sequence[Outage]) -> float:
    """The end of the last outage between two times, or the first of them."""
    meanwhile = [one.healed_s for one in outages if one.began_s < until_s and at_s < one.healed_s]
    return min(max([at_s, *meanwhile]), until_s)


def _held(journal: Sequence[Entry], blows: Sequence[Blow]) -> list[tuple[float, str]]:
    """Time and run of everything that was in the hands of a worker when it was hit, or when it died by itself."""
    hits = [*blows, *(Blow(entry.at_s, entry.pid) for entry in journal if entry.what == "died")]
    return [(hit.at_s, run) for hit in hits for run in _running(journal, hit)]


def _running(journal: Sequence[Entry], hit: Blow) -> list[str]:
    before = [entry for entry in journal if entry.pid == hit.pid and entry.at_s <= hit.at_s]
    settled = {entry.run for entry in before if entry.what == "settled"}
    return [entry.run for entry in before if entry.what == "claimed" and entry.run not in settled]


def _is_followed(outage: Outage, outages: Sequence[Outage], *, until_s: float) -> bool:
    later = [one for one in outages if one.dependency == outage.dependency and one.began_s >= outage.healed_s]
    return any(one.began_s < until_s for one in later)


def _first_success(outage: Outage, probes: Sequence[Probe]) -> float | None:
    later = [one for one in probes if one.at_s >= outage.healed_s and outage.dependency in one.healthy]
    return min((one.at_s + one.took_s for one in later), default=None)


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
