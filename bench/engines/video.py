"""A 1080p clip to MP4 (x264, medium): our converter with all its checks, against the bare ffmpeg call.

Both take turns within a round, and the ratio is computed within a round, so that a machine that becomes slower does not
decide the result. Run it with `python -m bench.engines.video`.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import print_table, save_figures, spread, verdict
from converto_engines.converter import Job, Limits
from converto_engines.media.video import Video
from converto_engines.media.video_options import VideoOptions
from converto_engines.runtime.process import Sandbox

LIMIT = 1.05
_SCENE = "testsrc2=s=1920x1080:r=25,noise=alls=4:allf=t"  # moving shapes under a little grain


class Round(msgspec.Struct, frozen=True):
    """Seconds of one round."""

    bare_s: float
    ours_s: float


class Recorded(Sandbox):
    """A sandbox that records the longest command line, which is the encode."""

    encode: list[str]

    async def run(self, argv: Any, **more: Any) -> Any:
        if argv[0] == "ffmpeg" and "libx264" in argv:
            self.encode = [str(word) for word in argv]
        return await super().run(argv, **more)


def make_clip(path: Path, seconds: int) -> None:
    """Create the source: high-quality H.264 with one audio track."""
    inputs = ["-f", "lavfi", "-i", _SCENE, "-f", "lavfi", "-i", "sine=440:r=48000", "-t", str(seconds)]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *inputs, *encode, str(path)], check=True)


async def ours(sandbox: Sandbox, source: Path, folder: Path) -> float:
    """Return the seconds of the converter, including the probe of the source and the check of the result."""
    own = folder / "source.mp4"
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread(own.hardlink_to, source)
    job = Job(
        source=own,
        source_format="mp4",
        target_format="mp4",
        folder=folder,
        options=VideoOptions(),
        limits=Limits(),
        report=lambda *_: None,
    )
    started = time.perf_counter()
    await Video(sandbox).convert(job)
    return time.perf_counter() - started


def bare(command: list[str], sandbox: Sandbox, folder: Path) -> float:
    """Return the seconds of the same ffmpeg call without sandbox and checks."""
    inside = sandbox.path_inside(folder, folder)
    here = [word.replace(f"file:{inside}/", f"file:{folder}/") for word in command]
    started = time.perf_counter()
    subprocess.run(here, check=True, capture_output=True)
    return time.perf_counter() - started


async def all_rounds(seconds: int, count: int) -> list[Round]:
    """Run the rounds in alternating order."""
    chosen = await Sandbox.choose("auto")
    sandbox = Recorded(chosen.name)
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        clip = Path(name) / "clip.mp4"
        await asyncio.to_thread(make_clip, clip, seconds)
        await ours(sandbox, clip, Path(name) / "warm-up")
        rounds = []
        for number in range(count):
            folder = Path(name) / str(number)
            if number % 2:
                ours_s = await ours(sandbox, clip, folder)
                bare_s = await asyncio.to_thread(bare, sandbox.encode, sandbox, folder)
            else:
                bare_s = await asyncio.to_thread(bare, sandbox.encode, sandbox, Path(name) / "warm-up")
                ours_s = await ours(sandbox, clip, folder)
            rounds.append(Round(bare_s=bare_s, ours_s=ours_s))
            print(f"  round {number + 1} of {count}: bare {bare_s:.2f} s, ours {ours_s:.2f} s, {ours_s / bare_s:.3f}")
        return rounds


def main() -> int:
    """Return 0 when the median ratio is within its limit; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="length of the clip")
    arguments = parser.parse_args()
    rounds = asyncio.run(all_rounds(arguments.seconds, arguments.rounds))
    ratio = statistics.median(entry.ours_s / entry.bare_s for entry in rounds)
    figures = {"bare ffmpeg": [entry.bare_s for entry in rounds], "converter": [entry.ours_s for entry in rounds]}
    rows = [[name, *spread(values).values()] for name, values in figures.items()]
    print_table(f"{arguments.seconds} s of 1080p to MP4, seconds", ["", "p50", "p95", "min", "max"], rows)
    is_kept = verdict("converter / bare ffmpeg", round(ratio, 3), LIMIT)
    save_figures(
        "video", {"seconds": arguments.seconds, "rounds": msgspec.to_builtins(rounds), "ratio": round(ratio, 3)}
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
