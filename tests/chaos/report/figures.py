"""Computes a run's measurements: recovery after a killed worker, success after an outage, answer times."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tests.chaos.report.entries import Figure, Injected, Interruption, Line, Load, Outage, Probe
from tests.chaos.report.journal import Entry, held

KILL_OF_ALL_REAPERS = "api and housekeeping: kill -9 of all"
FILE_SERVICE_STARTS_S = 4.0  # until it is ready; it answers no probe meanwhile


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


def figures_of(lines: Sequence[Line], journal: Sequence[Entry]) -> Iterator[str]:
    """Yield all measurements as text."""
    times, net = spread(gross_recoveries(lines, journal)), spread(net_recoveries(lines, journal))
    yield (
        f"recovery            {times.count} runs of killed or stopped workers: p50 {times.p50_s:.1f} s, "
        f"max {times.most_s:.1f} s; without outages p50 {net.p50_s:.1f} s, "
        f"p99 {net.p99_s:.1f} s, max {net.most_s:.1f} s (wanted: p99 within lease + 3 s)"
    )
    for dependency, values in sorted(successes_after_outages(lines).items()):
        times, (most_s, fault) = spread(seconds for seconds, _ in values), max(values)
        yield (
            f"first success after outages of the {dependency}: {times.count}, "
            f"p50 {times.p50_s:.1f} s, max {most_s:.1f} s after {fault!r} (wanted: within 5 s)"
        )
    yield f"answers of the API: {_words(spread(one.took_s for one in answers_of(lines)))} (wanted: max within 2 s)"
    dark = spread(black_hole_answers(lines))
    yield f"answers of the API while the database is a black hole: {_words(dark)} (wanted: p99 within 1 s)"
    loads = [line for line in lines if isinstance(line, Load)]
    if loads:
        shares = spread(line.foreign_share for line in loads)
        yield (
            f"other programs took {shares.p50_s:.0%} of {loads[0].cores} cores (median; {loads[0].foreign_share:.0%} "
            f"before the run, at most {shares.most_s:.0%}); load average at the end {loads[-1].load:.1f}"
        )
    yield from (line.text for line in lines if isinstance(line, Figure))


def successes_after_outages(lines: Sequence[Line]) -> dict[str, list[tuple[float, str]]]:
    """Return by dependency the seconds from the end of each outage to the first success, and its fault."""
    health = [line for line in lines if isinstance(line, Probe) and line.path == "health"]
    restarts = [line for line in lines if isinstance(line, Injected) and line.name.startswith("api")]
    return seconds_to_success(_outages(lines), health, restarts)


def answers_of(lines: Sequence[Line]) -> list[Probe]:
    """Return all requests to the API; one without an answer counts with its wait."""
    return [line for line in lines if isinstance(line, Probe)]


def black_hole_answers(lines: Sequence[Line]) -> list[float]:
    """Return the seconds of the lists that were requested while the database was a black hole."""
    down = [outage for outage in _outages(lines) if outage.dependency == "database"]
    lists = [one for one in answers_of(lines) if one.path == "list"]
    return answer_times(lists, down, fault="black hole")


def gross_recoveries(lines: Sequence[Line], journal: Sequence[Entry]) -> list[float]:
    """Return the seconds that interrupted runs took to be claimed again."""
    return recoveries(journal, [line for line in lines if isinstance(line, Interruption)])


def net_recoveries(lines: Sequence[Line], journal: Sequence[Entry]) -> list[float]:
    """Return the same without outages, and without the time until new reapers run when all of them were killed.

    Outages of the object store are deducted: slots that wait for it take nothing.
    """
    interruptions = [line for line in lines if isinstance(line, Interruption)]
    restarting = [outage for outage in _outages(lines) if outage.dependency != "object_store"]
    restarting += [
        Outage("reapers", line.name, line.at_s, line.at_s + line.took_s + FILE_SERVICE_STARTS_S)
        for line in lines
        if isinstance(line, Injected) and line.name == KILL_OF_ALL_REAPERS
    ]
    deducted = [outage for outage in _outages(lines) if outage.dependency == "object_store"]
    return recoveries(journal, interruptions, restarting, deducted)


def recoveries(
    journal: Sequence[Entry],
    interruptions: Sequence[Interruption],
    restarting: Sequence[Outage] = (),
    deducted: Sequence[Outage] = (),
) -> list[float]:
    """Return, for each run that an interrupted worker held, the seconds until its conversion was claimed again.

    If one of the `restarting` outages lasted meanwhile, its end is the start: reapers that could not reach the database
    or have just started give every worker a whole lease again. The time of the `deducted` ones does not count. A
    conversion that was never claimed again, because it had just ended or was cancelled, is left out: the ledger judges
    it.
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
            start_s = _undisturbed_since(at_s, min(later), restarting)
            found.append(min(later) - start_s - _together_s(deducted, start_s, min(later)))
    return found


def seconds_to_success(
    outages: Sequence[Outage], probes: Sequence[Probe], restarts: Sequence[Injected] = ()
) -> dict[str, list[tuple[float, str]]]:
    """Return by dependency, for each outage, the seconds from healing to the first success, and its fault.

    An outage followed by another one before the first success is left out, because it cannot be measured, and so is
    one during whose end a file service was restarted.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    for outage in outages:
        first_s = _first_success(outage, probes)
        if first_s is None or _is_restarted(outage, restarts, until_s=first_s):
            continue
        if not _is_followed(outage, outages, until_s=first_s):
            found.setdefault(outage.dependency, []).append((first_s - outage.healed_s, outage.fault))
    return found


def answer_times(probes: Sequence[Probe], outages: Sequence[Outage], *, fault: str) -> list[float]:
    """Return the durations of requests made during such an outage; unanswered ones count with their wait."""
    during = [(one.began_s, one.healed_s) for one in outages if one.fault == fault]
    return [probe.took_s for probe in probes if any(began <= probe.at_s < healed for began, healed in during)]


def _outages(lines: Sequence[Line]) -> list[Outage]:
    return [line for line in lines if isinstance(line, Outage)]


def _words(times: Spread) -> str:
    return f"{times.count}, p50 {times.p50_s:.2f} s, p99 {times.p99_s:.2f} s, max {times.most_s:.2f} s"


def _undisturbed_since(at_s: float, until_s: float, outages: Sequence[Outage]) -> float:
    """Return the end of the last outage between two times, or the first time."""
    meanwhile = [one.healed_s for one in outages if one.began_s < until_s and at_s < one.healed_s]
    return min(max([at_s, *meanwhile]), until_s)


def _together_s(outages: Sequence[Outage], from_s: float, to_s: float) -> float:
    """Return how long these outages, which do not overlap, lasted between two times."""
    return sum(max(min(one.healed_s, to_s) - max(one.began_s, from_s), 0.0) for one in outages)


def _held(journal: Sequence[Entry], interruptions: Sequence[Interruption]) -> list[tuple[float, str]]:
    """Return time and run of everything that a worker held when it was interrupted or crashed."""
    crashes = [Interruption(entry.at_s, entry.pid) for entry in journal if entry.what == "crashed"]
    return [(one.at_s, run) for one in (*interruptions, *crashes) for run in _running(journal, one)]


def _running(journal: Sequence[Entry], interruption: Interruption) -> list[str]:
    return held([one for one in journal if one.pid == interruption.pid and one.at_s <= interruption.at_s])


def _is_followed(outage: Outage, outages: Sequence[Outage], *, until_s: float) -> bool:
    later = [one for one in outages if one.dependency == outage.dependency and one.began_s >= outage.healed_s]
    return any(one.began_s < until_s for one in later)


def _is_restarted(outage: Outage, restarts: Sequence[Injected], *, until_s: float) -> bool:
    since_s = outage.healed_s - FILE_SERVICE_STARTS_S
    return any(one.at_s <= until_s and one.at_s + one.took_s >= since_s for one in restarts)


def _first_success(outage: Outage, probes: Sequence[Probe]) -> float | None:
    later = [one for one in probes if one.at_s >= outage.healed_s and outage.dependency in one.healthy]
    return min((one.at_s + one.took_s for one in later), default=None)


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
