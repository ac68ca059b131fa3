"""Writes one real file of each kind that converto takes: `python -m tests.assets.make_samples DIR`.

For the demo and the tests. Generated with the standard library only, without clock or random numbers, so that the
samples are the same everywhere and the repository holds no binary files.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.assets.book import book
from tests.assets.bracket import bracket
from tests.assets.captions import captions
from tests.assets.deck import deck
from tests.assets.drawing import picture_files, pictures
from tests.assets.film import clip, tone
from tests.assets.letter import letter
from tests.assets.notes import notes
from tests.assets.paper import paper
from tests.assets.report import report
from tests.assets.sheet import sheet

_SCAN_DOTS_PER_INCH = 150


def _deck() -> bytes:
    return deck(_drawing())


def _drawing() -> bytes:
    return picture_files.png(pictures.overlapping_discs())


def _photo() -> bytes:
    return picture_files.jpeg(pictures.lake_at_dusk())


def _animation() -> bytes:
    return picture_files.gif(list(pictures.orbit_frames()), pictures.ORBIT_PALETTE, delay_cs=8)


def _scan() -> bytes:
    return picture_files.tiff([pictures.sheet_of_music(page) for page in (1, 2)], _SCAN_DOTS_PER_INCH)


MAKERS: Mapping[str, Callable[[], bytes]] = {
    "deck.pptx": _deck,
    "report.docx": report,
    "table.xlsx": sheet,
    "letter.odt": letter,
    "notes.md": notes,
    "book.epub": book,
    "captions.srt": captions,
    "paper.pdf": paper,
    "photo.jpg": _photo,
    "drawing.png": _drawing,
    "animation.gif": _animation,
    "scan.tiff": _scan,
    "clip.avi": clip,
    "tone.wav": tone,
    "bracket.step": bracket,
}


def make_samples(folder: Path) -> dict[str, Path]:
    """Write all samples into a folder, created if missing, and return them by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = {name: folder / name for name in MAKERS}
    for name, path in samples.items():
        path.write_bytes(MAKERS[name]())
    return samples


def main(arguments: list[str]) -> int:
    """Write the samples into the given folder and list them; return 2 without exactly one folder."""
    if len(arguments) != 1:
        sys.stderr.write("Name one folder: python -m tests.assets.make_samples DIR\n")
        return 2
    for path in make_samples(Path(arguments[0])).values():
        sys.stdout.write(f"{path}  {path.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
