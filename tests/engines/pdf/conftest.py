"""Fixtures of the PDF tests: the converters and documents with known pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from converto_engines.pdf.document import PdfDocument
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.pages import PdfPages
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.pdf.colours import BLACK, BLUE, GREEN, RED


@pytest.fixture(scope="session")
async def pages(sandbox: Sandbox) -> AsyncIterator[PdfPages]:
    converter = PdfPages(sandbox)
    yield converter
    await converter.aclose()


@pytest.fixture
def drawings(sandbox: Sandbox) -> PdfDrawings:
    return PdfDrawings(sandbox)


@pytest.fixture
def texts(sandbox: Sandbox) -> PdfText:
    return PdfText(sandbox)


@pytest.fixture
def document(sandbox: Sandbox) -> PdfDocument:
    return PdfDocument(sandbox)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder for sources, apart from the job folders."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def three_pages(made: Path) -> Path:
    """Red, green and blue, the last one upright."""
    return make_pdf(made / "three.pdf", [Page(colour=RED), Page(colour=GREEN), Page(144, 288, BLUE)])


@pytest.fixture
def four(made: Path) -> Path:
    """Red, green, blue and black, the last one upright."""
    colours = [Page(colour=colour) for colour in (RED, GREEN, BLUE)]
    return make_pdf(made / "four.pdf", [*colours, Page(144, 216, BLACK)])
