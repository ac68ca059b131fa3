"""Lists what housekeeping would remove, without changing anything."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from file_service.housekeeping.retention.removal import DAY_S, HOUR_S, Kind, Removed
from file_service.housekeeping.sweeps import Sweep

IN_THE_OBJECT_STORE = {Kind.OBJECT, Kind.UPLOAD}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Line(msgspec.Struct, frozen=True):
    """One record, object or upload that would be removed."""

    sweep: str
    kind: Kind
    id: str
    age_s: int
    size_bytes: int
    reason: str


class Total(msgspec.Struct, frozen=True):
    """Totals. Records include those that would expire; objects include unfinished uploads."""

    records: int
    objects: int
    size_bytes: int


class DryRun:
    """Writes one line per removal and a total; what two sweeps would remove is listed and counted once."""

    def __init__(self, write: Callable[[str], object], *, is_json: bool, now_ms: int) -> None:
        """`write` gets each line with its line end; ages are relative to `now_ms`."""
        self._write = write
        self._is_json = is_json
        self._now_ms = now_ms
        self._seen: set[tuple[Kind, str]] = set()
        self._counts: Counter[bool] = Counter()
        self._size_bytes = 0

    async def report(self, sweeps: Sequence[Sweep]) -> Total:
        """List the removals of these sweeps and return the totals; raises `DependencyUnavailable`."""
        for sweep in sweeps:
            if sweep.removals is None:
                continue
            async for removal in sweep.removals():
                for removed in removal.removed:
                    self._report_once(sweep.name, removed)
        total = Total(self._counts[False], self._counts[True], self._size_bytes)
        self._write_line({"total": total}, _total_text(total))
        return total

    def _report_once(self, sweep: str, removed: Removed) -> None:
        if (removed.kind, removed.id) in self._seen:
            return
        self._seen.add((removed.kind, removed.id))
        self._counts[removed.kind in IN_THE_OBJECT_STORE] += 1
        self._size_bytes += removed.size_bytes
        age_s = max(self._now_ms - removed.since_ms, 0) // 1000
        line = Line(sweep, removed.kind, removed.id, age_s, removed.size_bytes, removed.reason)
        self._write_line(line, _line_text(line))

    def _write_line(self, structured: object, text: str) -> None:
        self._write((msgspec.json.encode(structured).decode() if self._is_json else text) + "\n")


def _line_text(line: Line) -> str:
    size = _size(line.size_bytes) if line.size_bytes else "-"
    return f"{line.sweep:<15}  {line.kind:<16}  {_age(line.age_s):>8}  {size:>9}  {line.id}  ({line.reason})"


def _total_text(total: Total) -> str:
    if not total.records and not total.objects:
        return "Nothing would be removed."
    return (
        f"{total.records} records and {total.objects} objects ({_size(total.size_bytes)}) would be removed. "
        "This was a dry run: nothing was changed."
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
