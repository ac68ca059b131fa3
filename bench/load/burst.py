"""Runs 1,000 conversions of small pictures from 50 clients at once, while 10 displays follow 30 uploads.

It starts its own stack with two workers. Run it with `python -m bench.load.burst`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from bench.figures import percentile, print_table, save_figures, verdict
from converto_client import AsyncConverto
from deploy.local.stack.stack import EVERYTHING, Stack
from tests.answers import Answers
from tests.assets.drawing.numbered_pictures import write_many
from tests.conftest import running_stack
from tests.crowd import Server, convert_all, show_all

WORKERS = 2
AT_ONCE_PER_CLIENT = 4  # as many as the command line runs at the same time
POLL_S = 5.0
UPLOAD_BYTES = 1_000_000


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions, clients, displays and uploads there are."""

    conversions: int
    clients: int
    displays: int
    uploads: int


class BurstResult(msgspec.Struct, frozen=True, kw_only=True):
    """The results as the clients saw them, and as the service reports them afterwards."""

    seconds: float
    seen: dict[str, int]
    fetched: int
    recorded: dict[str, int]


async def burst(stack: Stack, size: Size, answers: Answers, folder: Path) -> BurstResult:
    """Run the clients and the displays at the same time."""
    sources = list(write_many(folder / "small", size.conversions))
    uploads = list(write_many(folder / "large", size.uploads, weight_bytes=UPLOAD_BYTES))
    server = Server(stack.url, stack.api_key, answers)
    started = time.perf_counter()
    statuses, shown = await asyncio.gather(
        convert_all(server, sources, clients=size.clients, at_once=AT_ONCE_PER_CLIENT),
        show_all(server, uploads, displays=size.displays, poll_s=POLL_S),
    )
    seconds = time.perf_counter() - started
    async with AsyncConverto(stack.url, stack.api_key) as client:
        recorded = Counter([record.status async for record in client.conversions()])
    fetched = sum(size_bytes > 0 for size_bytes in shown)
    return BurstResult(seconds=seconds, seen=dict(Counter(statuses)), fetched=fetched, recorded=dict(recorded))


def latencies(answers: Answers) -> dict[str, dict[str, float]]:
    """Return the count, the refusals and the milliseconds of served requests by route."""
    by_route = defaultdict(list)
    for answer in answers.seen:
        by_route[answer.route].append(answer)
    return {
        route: {
            "count": len(found),
            "refused": sum(answer in answers.refused for answer in found if answer.status >= 400),
            "p50": round(percentile(served := [one.ms for one in found if one.status < 400] or [0.0], 50), 1),
            "p99": round(percentile(served, 99), 1),
        }
        for route, found in sorted(by_route.items())
    }


def judged(size: Size, result: BurstResult, answers: Answers) -> bool:
    """Print the verdicts and return whether all limits were met."""
    for what, count in answers.unexpected.items():
        print(f"  unexpected: {what} ({count} times)")
    wanted = size.conversions + size.uploads
    return all(
        [
            verdict("completed for the clients", result.seen.get("completed", 0), size.conversions, is_upper=False),
            verdict("results fetched by displays", result.fetched, size.uploads, is_upper=False),
            verdict("completed in the records", result.recorded.get("completed", 0), wanted, is_upper=False),
            verdict("records in all", sum(result.recorded.values()), wanted),
            verdict("answers other than 2xx, 3xx, and 429 or 503 with Retry-After", answers.unexpected.total(), 0),
            verdict("refusals that clients did not obey", answers.disobeyed, 0),
        ]
    )


def main() -> int:
    """Return 0 if nothing was lost and every answer was an expected one, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversions", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--displays", type=int, default=10)
    parser.add_argument("--uploads", type=int, default=30)
    size = Size(**vars(parser.parse_args()))
    with (
        running_stack("bench-burst", EVERYTHING, workers=WORKERS) as stack,
        tempfile.TemporaryDirectory(prefix="converto-bench-") as folder,
    ):
        answers = Answers(stack.url)
        result = asyncio.run(burst(stack, size, answers, Path(folder)))
    table = latencies(answers)
    rows = [[route, *figures.values()] for route, figures in table.items()]
    print_table("Answers by route, milliseconds", ["", "count", "refused", "p50", "p99"], rows)
    rate = (size.conversions + size.uploads) / result.seconds
    print(f"\n{size.conversions + size.uploads} conversions in {result.seconds:.1f} s: {rate:.1f} per second")
    print(f"{len(answers.refused)} refusals, {len(answers.broken)} broken requests")
    is_met = judged(size, result, answers)
    figures = {"size": size, "outcome": result, "per_second": round(rate, 2), "routes": table}
    save_figures("load_burst", msgspec.to_builtins(figures))
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
