"""Tells what housekeeping would take away, thing by thing, and changes nothing. It knows no rule and no server."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from file_service.housekeeping.retention.removal import DAY_S, HOUR_S, Kind, RemovedThing
from file_service.housekeeping.sweeps import Sweep

IN_THE_OBJECT_STORE = {Kind.OBJECT, Kind.UPLOAD}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Line(msgspec.Struct, frozen=True):
    """One thing that would go."""

    sweep: str
    kind: Kind
    id: str
    age_s: int
    size_bytes: int
    reason: str


class Total(msgspec.Struct, frozen=True):
    """All that would go. Records are those that go or end; objects include unfinished uploads."""

    records: int
    objects: int
    size_bytes: int


class DryRun:
    """Writes one line for each thing that would go, and a sum. What two sweeps would take is told and counted once."""

    def __init__(self, write: Callable[[str], object], *, is_json: bool, now_ms: int) -> None:
        """`write` gets each line with its end; `now_ms` is the time by which ages are told."""
        self._write = write
        self._is_json = is_json
        self._now_ms = now_ms
        self._told: set[tuple[Kind, str]] = set()
        self._counts: Counter[bool] = Counter()
        self._size_bytes = 0

    async def tell(self, sweeps: Sequence[Sweep]) -> Total:
        """Go through the sweeps that take something away; raises `DependencyUnavailable`."""
        for sweep in sweeps:
            if sweep.departures is None:
                continue
            async for departure in sweep.departures():
                for leaving in departure.leaving:
                    self._tell_once(sweep.name, leaving)
        total = Total(self._counts[False], self._counts[True], self._size_bytes)
        self._write_line({"total": total}, _sum_of(total))
        return total

    def _tell_once(self, sweep: str, leaving: RemovedThing) -> None:
        if (leaving.kind, leaving.id) in self._told:
            return
        self._told.add((leaving.kind, leaving.id))
        self._counts[leaving.kind in IN_THE_OBJECT_STORE] += 1
        self._size_bytes += leaving.size_bytes
        age_s = max(self._now_ms - leaving.since_ms, 0) // 1000
        line = Line(sweep, leaving.kind, leaving.id, age_s, leaving.size_bytes, leaving.reason)
        self._write_line(line, _text_of(line))

    def _write_line(self, structured: object, text: str) -> None:
        self._write((msgspec.json.encode(structured).decode() if self._is_json else text) + "\n")


def _text_of(line: Line) -> str:
    size = _size(line.size_bytes) if line.size_bytes else "-"
    return f"{line.sweep:<15}  {line.kind:<16}  {_age(line.age_s):>8}  {size:>9}  {line.id}  ({line.reason})"


def _sum_of(total: Total) -> str:
    if not total.records and not total.objects:
        return "Nothing would go."
    return (
        f"Would go: {total.records} records, {total.objects} objects, {_size(total.size_bytes)}. Nothing was changed."
    )


def _age(age_s: int) -> str:
    if age_s >= DAY_S:
        return f"{age_s / DAY_S:.1f} d"
    return f"{age_s / HOUR_S:.1f} h" if age_s >= HOUR_S else f"{age_s} s"


def _size(size_bytes: float) -> str:
    for unit in UNITS[:-1]:
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} {UNITS[-1]}"
