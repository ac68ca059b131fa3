"""Prints a benchmark's figures as a table and saves them as JSON in `.converto/bench/`."""

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile of the values, with linear interpolation."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, 95th percentile, minimum and maximum of the values."""
    return {
        "p50": round(statistics.median(values), 3),
        "p95": round(percentile(values, 95), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with the first column left-aligned and the others right-aligned."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    print(f"\n{title}")
    for row in cells:
        rest = "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"  {row[0].ljust(widths[0])}  {rest}")


def print_medians(
    title: str, columns: Sequence[str], pairs: Mapping[str, Sequence[tuple[float, float]]], ratios: Mapping[str, float]
) -> None:
    """Print one row per name: the medians of both values of its pairs, and its ratio."""
    rows = [
        [name, *(f"{statistics.median(values):.2f}" for values in zip(*taken, strict=True)), f"{ratios[name]:.2f}"]
        for name, taken in pairs.items()
    ]
    print_table(title, ["", *columns], rows)


def verdict(name: str, value: float, limit: float, *, is_upper: bool = True) -> bool:
    """Print whether a figure meets its limit, and return it."""
    is_met = value <= limit if is_upper else value >= limit
    print(f"  {'met   ' if is_met else 'MISSED'}  {name}: {value:g} (limit: {'≤' if is_upper else '≥'} {limit:g})")
    return is_met


def save_figures(name: str, figures: Mapping[str, Any]) -> Path:
    """Write the figures with time and machine to `.converto/bench/<name>.json`, replacing the previous run."""
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
