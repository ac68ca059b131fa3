"""Decks and drawings of two slides with a line each. `pages` are the words of each slide."""

import tempfile
from pathlib import Path

from pptx import Presentation

from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.office.test_keynote import packed
from tests.engines.pairs.pair import Sample
from tests.engines.pairs.sources.documents import FIRST, SECOND, octal
from tests.engines.pairs.sources.old_office import saved_as
from tests.engines.pairs.sources.open_document import package

TWO_SLIDES = ((FIRST,), (SECOND,))


def powerpoint(path: Path) -> None:
    """Write a .pptx."""
    presentation = Presentation()
    for (line,) in TWO_SLIDES:
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = line
    presentation.save(str(path))


def powerpoint_97(path: Path) -> None:
    """Write a .ppt."""
    saved_as(path, powerpoint, "pptx")


def open_slides(path: Path) -> None:
    """Write an .odp."""
    path.write_bytes(package("presentation", _drawn()))


def open_drawing(path: Path) -> None:
    """Write an .odg."""
    path.write_bytes(package("graphics", _drawn()))


def keynote(path: Path) -> None:
    """Write a .key whose preview shows the slides; LibreOffice cannot read such slides themselves."""
    with tempfile.TemporaryDirectory() as folder:
        shown = make_pdf(Path(folder) / "preview.pdf", [Page(text=octal(line)) for (line,) in TWO_SLIDES])
        slides = {f"Index/Slide-{number}.iwa": b"\0\1\0\0x" for number in (1, 2)}
        members = {"Index/Document.iwa": b"\0\1\0\0x", **slides, "QuickLook/Preview.pdf": shown.read_bytes()}
    packed(path, members)


def _drawn() -> str:
    box = '<draw:frame svg:width="16cm" svg:height="3cm" svg:x="1cm" svg:y="1cm"><draw:text-box><text:p>{}</text:p>'
    return "".join(
        f'<draw:page draw:name="page{number}" draw:master-page-name="Default">{box.format(line)}</draw:text-box>'
        "</draw:frame></draw:page>"
        for number, (line,) in enumerate(TWO_SLIDES, 1)
    )


SLIDES = (
    Sample("pptx", "pptx", "slides", powerpoint, TWO_SLIDES),
    Sample("ppt", "ppt", "slides", powerpoint_97, TWO_SLIDES),
    Sample("odp", "odp", "slides", open_slides, TWO_SLIDES),
    Sample("key", "key", "preview", keynote, TWO_SLIDES),
    Sample("odg", "odg", "slides", open_drawing, TWO_SLIDES),
)
