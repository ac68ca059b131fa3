"""Which graphics card of this machine really encodes a codec: found by its device files, proved by a tiny encode.

Where no card proves itself the software encoder does the work. It knows no container.
"""

from pathlib import Path
from typing import Final

import msgspec

from converto_core.errors import ConversionError
from converto_engines.converter import Job
from converto_engines.media.ffmpeg import Ffmpeg
from converto_engines.media.video_encoding import Wish

_RENDER = Path("/dev/dri/renderD128")
_DRI = Path("/dev/dri")
_NVIDIA = tuple(Path(f"/dev/nvidia{part}") for part in ("0", "ctl", "-uvm", "-uvm-tools"))
_TINY_VIDEO = ("-f", "lavfi", "-i", "color=black:s=256x256:r=25:d=0.2")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One way of encoding on a card: arguments before the inputs, last filters, encoder, name of its quality option."""

    name: str
    encoder: str
    devices: tuple[Path, ...]
    before: tuple[str, ...] = ()
    upload: tuple[str, ...] = ()
    quality: str = "global_quality"


def cards_for(codec: str) -> list[Card]:
    """The ways that might work on this machine, by its device files."""
    names = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": "av1"}
    name, found = names[codec], []
    if _NVIDIA[0].exists():
        found.append(Card(name="nvenc", encoder=f"{name}_nvenc", devices=_NVIDIA, quality="cq"))
    if _RENDER.exists():
        device = ("-init_hw_device", f"vaapi=card:{_RENDER}", "-filter_hw_device", "card")
        upload = ("format=nv12", "hwupload")
        found.append(
            Card(name="vaapi", encoder=f"{name}_vaapi", devices=(_DRI,), before=device, upload=upload, quality="qp")
        )
        found.append(Card(name="qsv", encoder=f"{name}_qsv", devices=(_DRI,), upload=("format=nv12",)))
    return found


class Hardware:
    """Finds a card once per codec and remembers the answer."""

    def __init__(self, program: Ffmpeg) -> None:
        """Take the way to call ffmpeg."""
        self._ffmpeg = program
        self._known: dict[str, Card | None] = {}

    async def find(self, codec: str, job: Job) -> Card | None:
        """The first card that encodes a tiny video, or None."""
        if codec not in self._known:
            self._known[codec] = await self._first_that_works(codec, job)
        return self._known[codec]

    async def _first_that_works(self, codec: str, job: Job) -> Card | None:
        for card in cards_for(codec):
            upload = ("-vf", ",".join(card.upload)) if card.upload else ()
            arguments = [*card.before, *_TINY_VIDEO, *upload, "-c:v", card.encoder, "-f", "null", "-"]
            try:
                await self._ffmpeg.run(job, arguments, devices=card.devices)
            except ConversionError:
                continue
            return card
        return None


_SOFTWARE_ONLY: Final = ("preset", "crf", "x265-params", "deadline", "cpu-used", "row-mt", "c", "enc_time_base")


def exchanged(arguments: list[str], card: Card, places: list[int], wish: Wish) -> list[str]:
    """The arguments of a software encode with the card's encoder in place of it, for these output tracks."""
    dropped = {f"-{name}:{place}" for name in _SOFTWARE_ONLY for place in places}
    kept: list[str] = list(card.before)
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word in dropped:
            position += 2
            continue
        if card.upload and word in {f"-filter:{place}" for place in places}:
            kept += [word, ",".join([arguments[position + 1], *card.upload])]
            position += 2
            continue
        kept.append(word)
        position += 1
    for place in places:
        kept += [f"-c:{place}", card.encoder]
        if wish.bitrate_kbps is None:
            kept += [f"-{card.quality}:{place}", str(wish.quality if wish.quality is not None else 23)]
    return kept
