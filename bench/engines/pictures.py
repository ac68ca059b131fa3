"""Pictures to other formats: our converter, called directly with a prestarted process, against the `vips` command.

Both use the same encoder settings and alternate within a round; the ratio is computed per round. Run it with
`python -m bench.engines.pictures`.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from bench.figures import print_medians, save_figures, verdict
from converto_engines.converter import Job, Limits, ignore_report
from converto_engines.pictures.pictures import PictureOptions, Pictures
from converto_engines.runtime.process import Sandbox

WIDTH, HEIGHT = 4000, 3000
LIMIT_TO_VIPS = 1.1


class Case(msgspec.Struct, frozen=True):
    """One conversion: ours by options, theirs by a `vips` operation and the arguments after the file names."""

    source: str
    target: str
    options: dict[str, Any]
    operation: tuple[str, ...]
    save: str
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A name such as "jpg to webp 1280"."""
        return f"{self.source} to {self.target} {self.options.get('width', '')}".strip()


CASES = (
    Case("jpg", "webp", {}, ("copy",), "Q=80,effort=4"),
    Case("jpg", "png", {}, ("copy",), "compression=6"),
    Case("jpg", "avif", {}, ("copy",), "Q=60,effort=3,bitdepth=8,compression=av1"),
    Case("jpg", "webp", {"width": 1280}, ("thumbnail",), "Q=80,effort=4", ("1280",)),
    Case("tiff", "jpg", {}, ("copy",), "Q=85,optimize_coding=true"),
)


def photo(folder: Path) -> None:
    """Write 12 million pixels with gradients, edges and grain, as JPEG and as TIFF."""
    gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    mandelbrot = Image.effect_mandelbrot((WIDTH // 4, HEIGHT // 4), (-2, -1.2, 1, 1.2), 40).resize((WIDTH, HEIGHT))
    noise = Image.effect_noise((WIDTH, HEIGHT), 20)
    picture = Image.merge("RGB", (gradient, Image.blend(mandelbrot, noise, 0.3), Image.blend(gradient, noise, 0.2)))
    picture.save(folder / "photo.jpg", quality=90)
    picture.save(folder / "photo.tiff")


async def by_converter(converter: Pictures, case: Case, folder: Path) -> float:
    """Return the seconds of one conversion with a prestarted process, as in a busy worker."""
    job = Job(
        source=folder / f"photo.{case.source}",
        source_format=case.source,
        target_format=case.target,
        folder=folder,
        options=PictureOptions(**case.options),
        limits=Limits(),
        report=ignore_report,
    )
    started = time.perf_counter()
    (product,) = await converter.convert(job)
    spent_s = time.perf_counter() - started
    product.path.unlink()
    await asyncio.sleep(1)  # the next process starts in the meantime; it must not run beside `vips`
    return spent_s


def by_command(case: Case, folder: Path) -> float:
    """Return the seconds of one call of `vips`."""
    target = folder / f"theirs.{case.target}"
    command = ["vips", *case.operation, str(folder / f"photo.{case.source}"), f"{target}[{case.save}]", *case.after]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    spent_s = time.perf_counter() - started
    target.unlink()
    return spent_s


async def measure(folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds of ours and of `vips` per round, after one round that prestarts a process."""
    converter = Pictures(await Sandbox.choose("auto"))
    assert await converter.version()
    spent: dict[str, list[tuple[float, float]]] = {case.name: [] for case in CASES}
    for number in range(rounds + 1):
        for case in CASES:
            both = (await by_converter(converter, case, folder), by_command(case, folder))
            if number:
                spent[case.name].append(both)
    await converter.aclose()
    return spent


def main() -> int:
    """Return 0 when no median ratio exceeds its limit; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        photo(Path(name))
        spent = asyncio.run(measure(Path(name), arguments.rounds))
    ratios = {name: statistics.median(ours / theirs for ours, theirs in entries) for name, entries in spent.items()}
    title = f"{WIDTH} × {HEIGHT} pixels on {len(os.sched_getaffinity(0))} cores, medians of {arguments.rounds} rounds"
    print_medians(title, ["ours, s", "vips, s", "ratio"], spent, ratios)
    are_kept = [verdict(name, round(ratio, 2), LIMIT_TO_VIPS) for name, ratio in ratios.items()]
    save_figures("pictures", {"seconds": spent, "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()}})
    return 0 if all(are_kept) else 1


if __name__ == "__main__":
    sys.exit(main())
