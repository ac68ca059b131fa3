"""24 office files to PDF by the converter itself, against the bare `soffice` command and unoserver.

Ours: two slots in parallel, each with one warm LibreOffice in the sandbox, every PDF checked, start and end included.
One call: one `soffice` for all files. unoserver: its server with its own client in one process, start included. Cold
calls: one `soffice` per file. All four start with a prepared profile and take turns within a round; ratios are computed
within a round. Run it with `python -m bench.engines.office CORPUS_FOLDER`.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from bench.figures import print_table, save_figures, verdict
from bench.office_baseline import DEADLINE_S, by_cold_calls, by_one_call, fresh_copies, picked_files, soffice
from converto_core.errors import ConversionError
from converto_engines.converter import Job, Limits, ignore_report
from converto_engines.office.libreoffice import LibreOffice, OfficeOptions
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox

SLOTS = 2
LIMIT_TO_ONE_CALL, LIMIT_UNOSERVER, LIMIT_COLD_CALLS = 1.2, 2.0, 5.0
LIMITS = Limits(wall_s=DEADLINE_S, cpu_s=int(DEADLINE_S))
SYSTEM_PYTHON = "/usr/bin/python3"  # has the `uno` module
_CLIENT = """
import sys
from unoserver.client import UnoClient
client = UnoClient(port=sys.argv[1])
for source, target in zip(sys.argv[2::2], sys.argv[3::2]):
    client.convert(inpath=source, outpath=target)
"""


class Way(msgspec.Struct, frozen=True):
    """Seconds of one method in one round, and the number of PDFs it made."""

    seconds: float
    count: int


class Places(msgspec.Struct, frozen=True):
    """Profiles created before the first round."""

    work_dir: Path
    soffice: Path
    unoserver: Path


def ours(files: list[Path], folder: Path, work_dir: Path) -> int:
    """Convert with two slots that take files from one list; returns the number of PDFs."""
    return asyncio.run(_by_slots(files, folder, work_dir))


async def _by_slots(files: list[Path], folder: Path, work_dir: Path) -> int:
    sandbox, pending = await Sandbox.choose("auto"), list(enumerate(files))
    offices = [WarmOffice(sandbox, work_dir=work_dir) for _ in range(SLOTS)]
    try:
        counts = await asyncio.gather(*(_slot(LibreOffice(office), pending, folder) for office in offices))
    finally:
        await asyncio.gather(*(office.aclose() for office in offices))
    return sum(counts)


async def _slot(converter: LibreOffice, pending: list[tuple[int, Path]], folder: Path) -> int:
    count = 0
    while pending:
        number, source = pending.pop(0)
        job_folder = folder / str(number)
        job_folder.mkdir(parents=True)
        try:
            count += len(await converter.convert(job_of(source, job_folder)))
        except ConversionError as error:
            print(f"  {source.name}: {error} {error.detail}", file=sys.stderr)
    return count


def job_of(source: Path, folder: Path) -> Job:
    """Return a job that converts this file to PDF with the default options."""
    return Job(
        source=source,
        source_format=source.suffix[1:],
        target_format="pdf",
        folder=folder,
        options=OfficeOptions(),
        limits=LIMITS,
        report=ignore_report,
    )


def by_unoserver(files: list[Path], target: Path, profile: Path) -> int:
    """Convert file by file with the server and client of unoserver; returns the number of PDFs.

    A file that ends the server is skipped and the server restarted, as an operator would have to.
    """
    target.mkdir()
    pending = list(files)
    while pending:
        _until_it_ends(pending, target, profile)
        done = sum((target / f"{source.name}.pdf").exists() for source in pending)
        pending = pending[done + 1 :]
    return len(list(target.glob("*.pdf")))


def _until_it_ends(files: list[Path], target: Path, profile: Path) -> None:
    port, uno_port = _free_ports()
    environment = {**os.environ, "PYTHONPATH": _packages()}
    argv = [SYSTEM_PYTHON, "-m", "unoserver.server", "--port", port, "--uno-port", uno_port]
    argv += ["--user-installation", str(profile), "--quiet"]
    server = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(port)
        pairs = [str(path) for source in files for path in (source, target / f"{source.name}.pdf")]
        client = [SYSTEM_PYTHON, "-c", _CLIENT, port, *pairs]
        subprocess.run(client, env=environment, check=False, timeout=DEADLINE_S, stderr=subprocess.DEVNULL)
    finally:
        _end(server)


def _packages() -> str:
    found = find_spec("unoserver")
    if found is None or found.origin is None:
        sys.exit("unoserver is not installed. Install deploy/requirements/dev.txt")
    return str(Path(found.origin).parent.parent)


def _free_ports() -> tuple[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return str(first.getsockname()[1]), str(second.getsockname()[1])


def _wait_for(port: str) -> None:
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    sys.exit("unoserver did not start within 60 s.")


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Kill the whole session, which includes LibreOffice."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def one_round(files: list[Path], folder: Path, places: Places) -> dict[str, Way]:
    """Run all methods over fresh copies of the same documents."""
    folder.mkdir()
    sources = fresh_copies(files, folder / "sources")
    return {
        "ours": _timed(lambda: ours(sources, folder / "ours", places.work_dir)),
        "one call": _timed(lambda: by_one_call(sources, folder / "one", places.soffice)),
        "unoserver": _timed(lambda: by_unoserver(sources, folder / "unoserver", places.unoserver)),
        "cold calls": _timed(lambda: by_cold_calls(sources, folder / "cold", places.soffice)),
    }


def _timed(convert: Callable[[], int]) -> Way:
    started = time.perf_counter()
    count = convert()
    return Way(time.perf_counter() - started, count)


def all_rounds(files: list[Path], count: int) -> list[dict[str, Way]]:
    """Run the rounds, after one conversion each that creates the profiles and is not measured."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        folder = Path(name)
        places = Places(work_dir=folder / "work", soffice=folder / "profile", unoserver=folder / "unoserver")
        places.work_dir.mkdir()
        ours(files[:1], folder / "warm-up", places.work_dir)
        soffice(files[:1], folder / "warm-up-soffice", places.soffice)
        shutil.copytree(places.soffice, places.unoserver)
        rounds = []
        for number in range(count):
            rounds.append(one_round(files, folder / str(number), places))
            told = ", ".join(f"{way} {took.seconds:.1f} s ({took.count})" for way, took in rounds[-1].items())
            print(f"  round {number + 1} of {count}: {told}")
        return rounds


def main() -> int:
    """Return 0 when the median ratios are within their limits and every file was converted; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains pptx, docx, xlsx and odf")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    files = picked_files(arguments.corpus)
    rounds = all_rounds(files, arguments.rounds)
    medians = {way: statistics.median(entry[way].seconds for entry in rounds) for way in rounds[0]}
    ratios = {
        way: round(statistics.median(entry[way].seconds / entry["ours"].seconds for entry in rounds), 2)
        for way in ("unoserver", "cold calls")
    }
    ratios["one call"] = round(
        statistics.median(entry["ours"].seconds / entry["one call"].seconds for entry in rounds), 2
    )
    rows = [[way, f"{seconds:.1f}", min(entry[way].count for entry in rounds)] for way, seconds in medians.items()]
    print_table(f"{len(files)} office files to PDF, median of {len(rounds)} rounds", ["", "seconds", "PDFs"], rows)
    are_kept = [
        verdict("ours / one call", ratios["one call"], LIMIT_TO_ONE_CALL),
        verdict("unoserver / ours", ratios["unoserver"], LIMIT_UNOSERVER, is_upper=False),
        verdict("cold calls / ours", ratios["cold calls"], LIMIT_COLD_CALLS, is_upper=False),
        verdict("PDFs of ours", min(entry["ours"].count for entry in rounds), len(files), is_upper=False),
    ]
    save_figures(
        "engines_office",
        {"files": [path.name for path in files], "rounds": msgspec.to_builtins(rounds), "ratios": ratios},
    )
    return 0 if all(are_kept) else 1


if __name__ == "__main__":
    sys.exit(main())
