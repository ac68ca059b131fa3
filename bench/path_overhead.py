"""Measures what converto adds to the engine: a small PNG to WebP through the idle stack, minus the `vips` command.

Both take turns, so that a busy moment of the machine affects both. Run it with `python -m bench.path_overhead`.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.figures import print_table, save_figures, spread, verdict
from bench.server import Server, running_server
from converto_client import AsyncConverto, ClientError
from tests.assets.drawing import picture_files, pictures

LIMIT_MS = 150.0
WARM_UP_ROUNDS = 3
DEADLINE_S = 60.0


class Round(msgspec.Struct, frozen=True):
    """Milliseconds of one round: `ready` until the result's presigned URL is known, `saved` until it is on disk."""

    engine: float
    ready: float
    saved: float


def picture(number: int) -> bytes:
    """Return a PNG of 90 × 60 pixels that is different in every round, so that no cache can answer."""
    canvas = pictures.overlapping_discs(90, 60)
    canvas.run(0, 0, 1, (number % 256, number // 256 % 256, number // 65536 % 256, 255))
    return picture_files.png(canvas)


async def measured(client: AsyncConverto, folder: Path, number: int) -> Round:
    """Convert once with the bare engine and once through the stack."""
    source = folder / f"{time.time_ns()}.png"
    source.write_bytes(picture(time.time_ns()))
    engine_ms = await asyncio.to_thread(_bare_engine_ms, source, folder / f"{number}.webp")
    started = time.perf_counter()
    conversion = await client.convert(source, to="webp")
    await conversion.wait(timeout_s=DEADLINE_S)
    await conversion.outputs()
    ready_ms = (time.perf_counter() - started) * 1000
    await conversion.save(folder / "out" / f"{number}.webp", overwrite=True)
    saved_ms = (time.perf_counter() - started) * 1000
    return Round(engine=engine_ms, ready=ready_ms, saved=saved_ms)


def _bare_engine_ms(source: Path, target: Path) -> float:
    started = time.perf_counter()
    subprocess.run(["vips", "copy", str(source), str(target)], check=True, timeout=DEADLINE_S)
    return (time.perf_counter() - started) * 1000


async def all_rounds(server: Server, count: int) -> list[Round]:
    """Run the warm-up rounds and return the counted ones."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        async with AsyncConverto(server.url, server.api_key) as client:
            for number in range(WARM_UP_ROUNDS):
                await measured(client, folder, number)
            return [await measured(client, folder, number) for number in range(count)]


def main() -> int:
    """Return 0 if the median overhead meets its limit, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    count: int = parser.parse_args().rounds
    if shutil.which("vips") is None:
        sys.exit("The vips command is not installed. On Debian: apt install libvips-tools")
    try:
        rounds = asyncio.run(all_rounds(running_server(), count))
    except ClientError as error:
        sys.exit(f"The stack could not convert a picture: {error}")
    figures = {
        "bare vips": spread([entry.engine for entry in rounds]),
        "POST to result ready": spread([entry.ready for entry in rounds]),
        "POST to result saved": spread([entry.saved for entry in rounds]),
        "overhead (ready - vips)": spread([entry.ready - entry.engine for entry in rounds]),
    }
    rows = [[name, *(f"{value:.0f}" for value in figure.values())] for name, figure in figures.items()]
    print_table(f"Small PNG to WebP, {count} rounds, milliseconds", ["", "p50", "p95", "min", "max"], rows)
    is_met = verdict("median overhead, ms", figures["overhead (ready - vips)"]["p50"], LIMIT_MS)
    save_figures("path_overhead", {"rounds": count, "unit": "ms", "figures": figures, "limit_p50_ms": LIMIT_MS})
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
