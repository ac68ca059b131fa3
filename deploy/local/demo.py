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

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from converto_client import AsyncConverto, ClientError
from converto_client.transfers.parallel import for_each
from deploy.local.demo_checks import Content, faults
from deploy.local.demo_files import Request, choose
from deploy.local.demo_report import FileResult, measure, show, warn, write_report
from deploy.local.errors import AlreadyRunning, PortInUse, StackError
from deploy.local.home import Home
from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import Stack, StackState

CONCURRENT_FILES = 4
LONGEST_WAIT_S = 600.0


def main() -> None:
    """Process entry; exit status 0 only if every file was converted and every result of a sample is right."""
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
    warn(rows)
    return 0 if all(row.ok for row in rows) else 1


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


async def convert_all(client: AsyncConverto, requests: Sequence[Request], output: Path) -> list[FileResult]:
    """Convert all files, several at a time, with a bar for each on a terminal or a line for each in a pipe."""
    console = Console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}", markup=False, style="dim"),
    )
    rows: dict[int, FileResult] = {}
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


async def convert_one(client: AsyncConverto, request: Request, output: Path, reach: Any) -> FileResult:
    """Convert one local file and save its results; a failure is recorded in the row."""
    row, started = FileResult(file=request.path.name, target=request.target), time.monotonic()
    try:
        row.source_bytes = (await asyncio.to_thread(request.path.stat)).st_size
        conversion = await client.convert(request.path, request.target, options=request.options, client_id="demo")
        row.status = conversion.record.status
        await conversion.follow(lambda record: reach(record.percent, record.stage or record.status), LONGEST_WAIT_S)
        saved = await conversion.save(output)
        row.status = conversion.record.status
        row.outputs = [str(path) for path in saved]
        await asyncio.to_thread(judge, row, saved, request.right)
        reach(100, row.error or "done")
    except (ClientError, OSError) as error:
        row.status = getattr(getattr(error, "record", None), "status", "failed")
        row.error = f"{getattr(error, 'code', 'file_error')}: {error}"
        reach(0, row.error)
    row.seconds = round(time.monotonic() - started, 2)
    return row


def judge(row: FileResult, saved: Sequence[Path], right: Content) -> None:
    """Record whether the files hold what they have to hold; a wrong result is a failure too."""
    wrong = faults(saved, right)
    if wrong:
        row.error = f"WRONG RESULT: {'; '.join(wrong)}"
        return
    row.pages, row.result_bytes = measure(saved)
    row.ok = True


if __name__ == "__main__":
    main()
