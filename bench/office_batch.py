"""Converts 24 office files to PDF: through the running stack, by one `soffice` call, and by one cold call each.

The three take turns within a round and the ratios are computed within a round, so that a machine that becomes slower
does not decide the result. Run it with `python -m bench.office_batch CORPUS_FOLDER`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.figures import print_table, save_figures, verdict
from bench.office_baseline import (
    DEADLINE_S,
    by_cold_calls,
    by_one_call,
    fresh_copies,
    picked_files,
    soffice,
)
from bench.server import Server, running_server
from converto_client import AsyncConverto, ClientError

LIMIT_TO_ONE_CALL, LIMIT_TO_COLD_CALLS = 1.5, 4.0


class Round(msgspec.Struct, frozen=True):
    """Seconds of one round, and the number of PDFs from each."""

    stack_s: float
    stack_count: int
    one_call_s: float
    one_call_count: int
    cold_s: float
    cold_count: int


async def through_the_stack(server: Server, files: list[Path], target: Path) -> int:
    """Convert all files at the same time, save the results and return their number."""
    async with AsyncConverto(server.url, server.api_key, timeout_s=120) as client:

        async def one(path: Path) -> bool:
            try:
                conversion = await client.convert(path, to="pdf")
                await conversion.wait(timeout_s=DEADLINE_S)
                await conversion.save(target)
            except ClientError as error:
                print(f"  {path.name}: {error}", file=sys.stderr)
                return False
            return True

        return sum(await asyncio.gather(*(one(path) for path in files)))


def one_round(server: Server, files: list[Path], folder: Path, profile: Path) -> Round:
    """Convert fresh copies of the same documents in all three ways."""
    sources = fresh_copies(files, folder / "sources")
    (folder / "stack").mkdir()
    started = time.perf_counter()
    stack_count = asyncio.run(through_the_stack(server, sources, folder / "stack"))
    after_stack = time.perf_counter()
    one_call_count = by_one_call(sources, folder / "one", profile)
    after_one_call = time.perf_counter()
    cold_count = by_cold_calls(sources, folder / "cold", profile)
    after_cold = time.perf_counter()
    return Round(
        stack_s=after_stack - started,
        stack_count=stack_count,
        one_call_s=after_one_call - after_stack,
        one_call_count=one_call_count,
        cold_s=after_cold - after_one_call,
        cold_count=cold_count,
    )


def all_rounds(server: Server, files: list[Path], count: int) -> list[Round]:
    """Run the rounds, after one uncounted conversion that creates LibreOffice's profile."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        folder = Path(name)
        profile = folder / "profile"
        soffice(files[:1], folder / "warm-up", profile)
        rounds = []
        for number in range(count):
            (folder / str(number)).mkdir()
            rounds.append(one_round(server, files, folder / str(number), profile))
            print(f"  round {number + 1} of {count}: {_described(rounds[-1])}")
        return rounds


def _described(entry: Round) -> str:
    return (
        f"stack {entry.stack_s:.1f} s ({entry.stack_count}), one call {entry.one_call_s:.1f} s "
        f"({entry.one_call_count}), cold calls {entry.cold_s:.1f} s ({entry.cold_count})"
    )


def main() -> int:
    """Return 0 if both median ratios meet their limits and every file was converted, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains pptx, docx, xlsx and odf")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    files = picked_files(arguments.corpus)
    rounds = all_rounds(running_server(), files, arguments.rounds)
    to_one_call = statistics.median(entry.stack_s / entry.one_call_s for entry in rounds)
    to_cold = statistics.median(entry.cold_s / entry.stack_s for entry in rounds)
    rows = [
        ["through the stack", f"{statistics.median(entry.stack_s for entry in rounds):.1f}", rounds[-1].stack_count],
        [
            "one soffice call",
            f"{statistics.median(entry.one_call_s for entry in rounds):.1f}",
            rounds[-1].one_call_count,
        ],
        ["one cold call per file", f"{statistics.median(entry.cold_s for entry in rounds):.1f}", rounds[-1].cold_count],
    ]
    print_table(f"{len(files)} office files to PDF, median of {len(rounds)} rounds", ["", "seconds", "PDFs"], rows)
    are_met = [
        verdict("stack / one call", round(to_one_call, 2), LIMIT_TO_ONE_CALL),
        verdict("cold calls / stack", round(to_cold, 2), LIMIT_TO_COLD_CALLS, is_upper=False),
        verdict("PDFs from the stack", min(entry.stack_count for entry in rounds), len(files), is_upper=False),
    ]
    ratios = {"stack_to_one_call": round(to_one_call, 3), "cold_calls_to_stack": round(to_cold, 3)}
    names = [path.name for path in files]
    save_figures("office_batch", {"files": names, "rounds": msgspec.to_builtins(rounds), "ratios": ratios})
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    sys.exit(main())
