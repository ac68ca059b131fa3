"""Finds a hardware encoder that works: the device files give the candidates, a tiny encode tests each.

Only an answer is remembered. A test that did not end says nothing about the card; it is made again for a later video.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from converto_core.errors import ConversionError
from converto_engines.converter import Job
from converto_engines.media.ffmpeg import Ffmpeg, FfmpegFailed
from converto_engines.media.video_encoding import PROBED_NAMES, EncodingSettings

_RENDER = Path("/dev/dri/renderD128")
_DRI = Path("/dev/dri")
_NVIDIA = tuple(Path(f"/dev/nvidia{part}") for part in ("0", "ctl", "-uvm", "-uvm-tools"))
_TINY_VIDEO = ("-f", "lavfi", "-i", "color=black:s=256x256:r=25:d=0.2")

_TEST_S = 20.0  # an idle card needs less than a second
_ASK_AGAIN_S = 60.0  # a driver that hangs costs each video at most a third of this


class HardwareEncoder(msgspec.Struct, frozen=True, kw_only=True):
    """One hardware encoder: arguments before the inputs, last filters, encoder and name of its quality option."""

    name: str
    encoder: str
    devices: tuple[Path, ...]
    before: tuple[str, ...] = ()
    upload: tuple[str, ...] = ()
    quality: str = "global_quality"


Candidates = Callable[[str], list[HardwareEncoder]]
"""Returns the hardware encoders to try for a codec."""


def candidates_for(codec: str) -> list[HardwareEncoder]:
    """Return the encoders that this machine's device files suggest."""
    name, candidates = PROBED_NAMES[codec], []
    if _NVIDIA[0].exists():
        candidates.append(HardwareEncoder(name="nvenc", encoder=f"{name}_nvenc", devices=_NVIDIA, quality="cq"))
    if _RENDER.exists():
        device = ("-init_hw_device", f"vaapi=card:{_RENDER}", "-filter_hw_device", "card")
        upload = ("format=nv12", "hwupload")
        candidates.append(
            HardwareEncoder(
                name="vaapi", encoder=f"{name}_vaapi", devices=(_DRI,), before=device, upload=upload, quality="qp"
            )
        )
        candidates.append(HardwareEncoder(name="qsv", encoder=f"{name}_qsv", devices=(_DRI,), upload=("format=nv12",)))
    return candidates


class Hardware:
    """Finds a hardware encoder once per codec and caches the answer."""

    def __init__(self, program: Ffmpeg, candidates: Candidates, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`program` runs the test encodes of the candidates."""
        self._ffmpeg, self._candidates, self._clock = program, candidates, clock
        self._known: dict[str, HardwareEncoder | None] = {}
        self._ask_again_s: dict[str, float] = {}

    async def find(self, codec: str, job: Job) -> HardwareEncoder | None:
        """Return the first hardware encoder that encodes a tiny video; None when none does, or none in time."""
        if codec not in self._known and self._clock() >= self._ask_again_s.get(codec, 0.0):
            await self._test(codec, job)
        return self._known.get(codec)

    async def _test(self, codec: str, job: Job) -> None:
        """Remember the first candidate that works, or that none does; without an answer only when to ask again."""
        is_certain = True
        for candidate in self._candidates(codec):
            works = await self._works(candidate, job)
            if works:
                self._known[codec] = candidate
                return
            is_certain = is_certain and works is not None
        if is_certain:
            self._known[codec] = None
        else:
            self._ask_again_s[codec] = self._clock() + _ASK_AGAIN_S

    async def _works(self, hardware: HardwareEncoder, job: Job) -> bool | None:
        """Return whether a tiny encode succeeds; None when it did not end by itself."""
        upload = ("-vf", ",".join(hardware.upload)) if hardware.upload else ()
        arguments = [*hardware.before, *_TINY_VIDEO, *upload, "-c:v", hardware.encoder, "-f", "null", "-"]
        limits = msgspec.structs.replace(job.limits, wall_s=min(_TEST_S, job.limits.wall_s))
        try:
            await self._ffmpeg.run(msgspec.structs.replace(job, limits=limits), arguments, devices=hardware.devices)
        except FfmpegFailed:
            return False
        except (ConversionError, OSError):
            return None
        return True


_SOFTWARE_ONLY: Final = (
    "preset",
    "crf",
    "x265-params",
    "svtav1-params",
    "deadline",
    "cpu-used",
    "row-mt",
    "c",
    "enc_time_base",
)


def with_hardware_encoder(
    arguments: list[str], hardware: HardwareEncoder, places: list[int], settings: EncodingSettings
) -> list[str]:
    """Replace the software encoder in the arguments, for these output tracks."""
    dropped = {f"-{name}:{place}" for name in _SOFTWARE_ONLY for place in places}
    kept: list[str] = list(hardware.before)
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word in dropped:
            position += 2
            continue
        if hardware.upload and word in {f"-filter:{place}" for place in places}:
            kept += [word, ",".join([arguments[position + 1], *hardware.upload])]
            position += 2
            continue
        kept.append(word)
        position += 1
    for place in places:
        kept += [f"-c:{place}", hardware.encoder]
        if settings.bitrate_kbps is None:
            kept += [f"-{hardware.quality}:{place}", str(settings.quality if settings.quality is not None else 23)]
    return kept
