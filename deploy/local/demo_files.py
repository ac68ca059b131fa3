"""The files that the demo converts: its samples, or the user's own files with their usual targets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from converto_core.formats import Family, format_of_name
from deploy.local.demo_checks import RIGHT, Content, right_of
from deploy.local.errors import StackError
from tests.assets.make_samples import make_samples

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
    """One file to convert; `right` is what its result has to hold, as far as that is known."""

    path: Path
    target: str
    options: dict[str, Any] = {}
    right: Content = Content()


def choose(files: Sequence[str], target: str | None, samples: Path) -> list[Request]:
    """The given files, else the samples; raises `StackError` for a file without a usual target."""
    if not files:
        made = make_samples(samples)
        if target is None:
            return [Request(made[name], usual, options, RIGHT[name, usual]) for name, usual, options in SHOWN]
        return [Request(made[name], target, right=right_of(name, target)) for name, _, _ in SHOWN]
    targets = {name: target or usual_target(name) for name in files}
    return [Request(Path(name), targets[name], right=right_of(name, targets[name])) for name in files]


def usual_target(name: str) -> str:
    """The usual target of a file; raises `StackError` when there is none."""
    known = format_of_name(name)
    usual = next((target for target in USUAL_TARGETS[known.family] if target != known.name), None) if known else None
    if usual is None:
        raise StackError(f'No usual target for {name}; name one, for example: make demo FILES="{name}" TO=pdf')
    return usual
