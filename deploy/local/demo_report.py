"""The results of the demo as a table and as a JSON report."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table


class FileResult(msgspec.Struct, kw_only=True):
    """The result of one file; sizes in bytes, times in seconds."""

    file: str
    target: str
    status: str = "not_started"
    ok: bool = False
    pages: int = 0
    source_bytes: int = 0
    result_bytes: int = 0
    seconds: float = 0.0
    outputs: list[str] = []
    error: str | None = None


def measure(saved: Sequence[Path]) -> tuple[int, int]:
    """Page count of a single PDF, else the number of results; and their size in bytes."""
    size_bytes = sum(path.stat().st_size for path in saved)
    if len(saved) == 1 and saved[0].suffix == ".pdf":
        import pypdfium2  # noqa: PLC0415 - needed only for a PDF result

        with pypdfium2.PdfDocument(saved[0]) as document:
            return len(document), size_bytes
    return len(saved), size_bytes


def show(rows: Sequence[FileResult], seconds: float) -> None:
    """Print the table of results."""
    table = Table(
        title=f"{sum(row.ok for row in rows)} of {len(rows)} converted in {seconds:.1f} s", title_justify="left"
    )
    table.add_column("file")
    table.add_column("to")
    table.add_column("pages", justify="right")
    table.add_column("size", justify="right")
    table.add_column("time", justify="right")
    table.add_column("result", overflow="fold")
    for row in rows:
        where = escape(result_of(row))
        size = f"{row.result_bytes / 1000:.0f} kB" if row.ok else "-"
        pages = str(row.pages) if row.ok else "-"
        table.add_row(escape(row.file), row.target, pages, size, f"{row.seconds:.1f} s", where)
    width = None if sys.stdout.isatty() else 140
    Console(width=width).print(table)


def warn(rows: Sequence[FileResult]) -> None:
    """Name on stderr what failed or came out wrong, after the table where nobody overlooks it."""
    bad = [row for row in rows if not row.ok]
    if bad:
        print(f"\nerror: {len(bad)} of {len(rows)} conversions failed or gave a wrong result:", file=sys.stderr)
    for row in bad:
        print(f"  {row.file} → {row.target}: {row.error or row.status}", file=sys.stderr)


def result_of(row: FileResult) -> str:
    """Path of the result relative to the current folder, or what is wrong."""
    if not row.ok or not row.outputs:
        return row.error or row.status
    first = os.path.relpath(row.outputs[0])
    return first if len(row.outputs) == 1 else f"{first} … {Path(row.outputs[-1]).name}"


def write_report(path: Path, rows: Sequence[FileResult], seconds: float) -> Path:
    """Write the results as JSON; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"ok": all(row.ok for row in rows), "seconds": round(seconds, 2), "conversions": list(rows)}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    return path
