"""`python -m deploy.local.demo`: converts real files on the stack, with progress bars, a table and a JSON report.

Starts the stack if none is running and stops it afterwards (KEEP=1 leaves it running). Uses the Python client only, as
any user would.
"""

import argparse
import asyncio
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from converto_client import AsyncConverto, ClientError
from converto_client.transfers.parallel import for_each
from converto_core.formats import Family, format_of_name
from deploy.local.errors import AlreadyRunning, PortInUse, StackError
from deploy.local.home import Home
from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import Stack, StackState
from tests.assets.make_samples import make_samples

CONCURRENT_FILES = 4
LONGEST_WAIT_S = 600.0
USUAL_TARGETS = {
    Family.OFFICE: ("pdf",),
    Family.PDF: ("png",),
    Family.IMAGE: ("webp", "png"),
    Family.VIDEO: ("mp4", "webm"),
    Family.AUDIO: ("mp3", "opus"),
    Family.MODEL: ("glb", "stl"),
}
"""The usual target of each family; the second one if the file already has the first format."""
SHOWN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("deck.pptx", "pdf", {}),
    ("deck.pptx", "png", {"dpi": 100}),
    ("report.docx", "pdf", {}),
    ("table.xlsx", "pdf", {}),
    ("letter.odt", "pdf", {}),
    ("paper.pdf", "png", {"dpi": 100}),
    ("photo.jpg", "webp", {"quality": 80}),
    ("drawing.png", "avif", {}),
    ("animation.gif", "webp", {}),
    ("scan.tiff", "jpg", {}),
    ("clip.avi", "mp4", {}),
    ("clip.avi", "gif", {"width": 160}),
    ("tone.wav", "mp3", {"bitrate_kbps": 128}),
    ("tone.wav", "opus", {}),
    ("bracket.step", "glb", {}),
    ("bracket.step", "png", {}),
    ("notes.md", "pdf", {}),
    ("book.epub", "pdf", {}),
    ("captions.srt", "vtt", {}),
)


class Request(msgspec.Struct, frozen=True):
    """One file to convert."""

    path: Path
    target: str
    options: dict[str, Any] = {}


class Row(msgspec.Struct, kw_only=True):
    """How one file fared, as the table and the report tell it; sizes in bytes, times in seconds."""

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


def main() -> None:
    """Process entry; exit status 0 only if every file was converted."""
    arguments = parse(sys.argv[1:])
    try:
        sys.exit(asyncio.run(demonstrate(arguments)))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; `make demo` passes FILES, TO and KEEP in the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.demo", description="Convert real files on the local stack."
    )
    parser.add_argument("files", nargs="*", default=shlex.split(os.environ.get("FILES", "")), help="default: samples")
    parser.add_argument("--to", default=os.environ.get("TO") or None, help="target format of the files")
    parser.add_argument("--keep", action="store_true", default=os.environ.get("KEEP", "") not in ("", "0"))
    return parser.parse_args(argv)


async def demonstrate(arguments: argparse.Namespace) -> int:
    """Start the stack if needed, convert the files, show table and report, stop the stack if started here."""
    folder = Home.default().root / "demo"
    requests = await asyncio.to_thread(choose, arguments.files, arguments.to, folder / "samples")
    output = folder / "output"
    await asyncio.to_thread(shutil.rmtree, output, ignore_errors=True)
    stack, state, is_ours = await ensure_stack(is_kept=arguments.keep)
    try:
        started = time.monotonic()
        async with AsyncConverto(state.url, state.api_key) as client:
            rows = await convert_all(client, requests, output)
        seconds = time.monotonic() - started
    finally:
        if is_ours and not arguments.keep:
            print("Stopping the stack that this demo started (KEEP=1 keeps it running) …", flush=True)
            await stack.stop()
    show(rows, seconds)
    report = await asyncio.to_thread(write_report, folder / "report.json", rows, seconds)
    print(f"\nResults: {output}\nReport:  {report}")
    if not is_ours or arguments.keep:
        print(f"The stack runs at {state.url} (API page {state.url}/api/docs); `make down` stops it.")
    return 0 if all(row.ok for row in rows) else 1


def choose(files: Sequence[str], target: str | None, samples: Path) -> list[Request]:
    """The given files, else the samples; raises `StackError` for a file without a usual target."""
    if not files:
        made = make_samples(samples)
        return [Request(made[name], target or usual, {} if target else options) for name, usual, options in SHOWN]
    return [Request(Path(name), target or usual_target(name)) for name in files]


def usual_target(name: str) -> str:
    """The usual target of a file; raises `StackError` when there is none."""
    known = format_of_name(name)
    usual = next((target for target in USUAL_TARGETS[known.family] if target != known.name), None) if known else None
    if usual is None:
        raise StackError(f'No usual target for {name}; name one, for example: make demo FILES="{name}" TO=pdf')
    return usual


async def ensure_stack(*, is_kept: bool) -> tuple[Stack, StackState, bool]:
    """The running stack, or a new one; the last value says whether it was started here."""
    stack = build_stack(Ports.from_environment(os.environ), is_kept=is_kept)
    state = await asyncio.to_thread(stack.state)
    if state is not None:
        print(f"The stack is already running at {state.url}.", flush=True)
        return stack, state, False
    print("Starting the stack: RabbitMQ, MongoDB, S3, file service, workers …", flush=True)
    is_ours = True
    try:
        await stack.start()
    except AlreadyRunning:
        is_ours = False  # another process was faster
    except PortInUse as error:
        print(f"{str(error).split('. ', maxsplit=1)[0]}. Taking free ports instead.", flush=True)
        stack = build_stack(Ports.free(), is_kept=is_kept)
        await stack.start()
    state = await asyncio.to_thread(stack.state)
    if state is None:
        raise StackError("The stack ended right after its start. Its logs are in .converto/logs")
    return stack, state, is_ours


def build_stack(ports: Ports, *, is_kept: bool) -> Stack:
    """A stack in the default state folder; unless kept, it stops when this process ends, even by a crash."""
    return Stack(Home.default(), ports=ports, is_watched=not is_kept, report=say_healthy)


def say_healthy(name: str, seconds: float) -> None:
    """One line for each part, except the watchdog, which no user waits for."""
    if name != "watchdog":
        print(f"  {name:<10} healthy after {seconds:4.1f} s", flush=True)


async def convert_all(client: AsyncConverto, requests: Sequence[Request], output: Path) -> list[Row]:
    """Convert all files, several at a time, with a bar for each on a terminal or a line for each in a pipe."""
    console = Console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}", markup=False, style="dim"),
    )
    rows: dict[int, Row] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        async def convert_request(index: int) -> None:
            request = requests[index]
            bar = progress.add_task(f"{request.path.name} → {request.target}", total=100.0, stage="uploading")

            def reach(percent: float, stage: str) -> None:
                progress.update(bar, completed=percent, stage=stage)

            rows[index] = await convert_one(client, request, output, reach)
            if not console.is_terminal:
                row = rows[index]
                print(f"  {row.file} → {row.target}: {row.error or 'completed'} ({row.seconds:.1f} s)", flush=True)

        await for_each(range(len(requests)), convert_request, limit=CONCURRENT_FILES)
    return [rows[index] for index in range(len(requests))]


async def convert_one(client: AsyncConverto, request: Request, output: Path, reach: Any) -> Row:
    """Convert one local file and save its results; a failure is recorded in the row."""
    row, started = Row(file=request.path.name, target=request.target), time.monotonic()
    try:
        row.source_bytes = (await asyncio.to_thread(request.path.stat)).st_size
        conversion = await client.convert(request.path, request.target, options=request.options, client_id="demo")
        row.status = conversion.record.status
        await conversion.follow(lambda record: reach(record.percent, record.stage or record.status), LONGEST_WAIT_S)
        saved = await conversion.save(output)
        row.status = conversion.record.status
        row.pages, row.result_bytes = await asyncio.to_thread(measure, saved)
        row.outputs = [str(path) for path in saved]
        row.ok = True
        reach(100, "done")
    except (ClientError, OSError) as error:
        row.status = getattr(getattr(error, "record", None), "status", "failed")
        row.error = f"{getattr(error, 'code', 'file_error')}: {error}"
        reach(0, row.error)
    row.seconds = round(time.monotonic() - started, 2)
    return row


def measure(saved: Sequence[Path]) -> tuple[int, int]:
    """Pages (of a PDF, else the number of results) and bytes of what arrived."""
    size_bytes = sum(path.stat().st_size for path in saved)
    if len(saved) == 1 and saved[0].suffix == ".pdf":
        import pypdfium2  # noqa: PLC0415 - only a demo with a PDF among its results needs it

        with pypdfium2.PdfDocument(saved[0]) as document:
            return len(document), size_bytes
    return len(saved), size_bytes


def show(rows: Sequence[Row], seconds: float) -> None:
    """The table a newcomer came for."""
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


def result_of(row: Row) -> str:
    """Where the result is, from here, or why there is none."""
    if not row.outputs:
        return row.error or row.status
    first = os.path.relpath(row.outputs[0])
    return first if len(row.outputs) == 1 else f"{first} … {Path(row.outputs[-1]).name}"


def write_report(path: Path, rows: Sequence[Row], seconds: float) -> Path:
    """The same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"ok": all(row.ok for row in rows), "seconds": round(seconds, 2), "conversions": list(rows)}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    return path


if __name__ == "__main__":
    main()
