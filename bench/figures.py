"""Prints a benchmark's figures as a small table and keeps them as JSON in `.converto/bench/`. It measures nothing."""

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which that many percent of the values lie, by linear interpolation."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile, smallest and largest of the values."""
    return {
        "p50": round(statistics.median(values), 3),
        "p95": round(percentile(values, 95), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, first column to the left and numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    print(f"\n{title}")
    for row in cells:
        rest = "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"  {row[0].ljust(widths[0])}  {rest}")


def verdict(name: str, value: float, limit: float, *, is_upper: bool = True) -> bool:
    """Print whether a figure keeps its limit and return it."""
    is_kept = value <= limit if is_upper else value >= limit
    print(f"  {'kept  ' if is_kept else 'MISSED'}  {name}: {value:g} (limit: {'≤' if is_upper else '≥'} {limit:g})")
    return is_kept


def keep(name: str, figures: Mapping[str, Any]) -> Path:
    """Write the figures with time and machine as `.converto/bench/<name>.json`, replacing the last run's."""
    folder = Path(os.environ.get("CONVERTO_HOME") or ".converto") / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    machine = {
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    document = {"name": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine, **figures}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"  written to {path}")
    return path
