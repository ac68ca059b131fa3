"""PDF pages to SVG with the real poppler, rendered by the SVG reader of libvips (behaviours W2, I13)."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from converto_core.errors import (
    BadOptions,
    ConversionError,
    LimitExceeded,
)
from converto_engines.converter import Limits
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf, written
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import BLUE, GREEN, RED, WHITE
from tests.engines.pdf.lanes import convert_each


@pytest.fixture
def three_pages(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return make_pdf(folder / "three.pdf", [Page(colour=RED), Page(colour=GREEN, rotate=90), Page(144, 288, BLUE)])


def size_of(path: Path) -> tuple[str, str]:
    root = ElementTree.parse(path).getroot()
    return root.attrib["width"], root.attrib["height"]


def colour(picture: Image.Image, place: tuple[float, float]) -> tuple[int, ...]:
    pixel = picture.getpixel((int(place[0] * picture.width), int(place[1] * picture.height)))
    assert isinstance(pixel, tuple)
    return pixel


async def test_one_drawing_per_page_that_looks_like_it(
    drawings: PdfDrawings, sandbox: Sandbox, run_job: RunJob, three_pages: Path
) -> None:
    """W2: one image per page, in order."""
    products = await run_job(drawings, three_pages, "pdf", "svg")
    pictures = Pictures(sandbox)
    drawn = [
        Image.open((await run_job(pictures, product.path, "svg", "png", background="#ffffff"))[0].path)
        for product in products
    ]
    await pictures.aclose()

    assert [product.page for product in products] == [1, 2, 3]
    assert [size_of(product.path) for product in products] == [
        ("216pt", "144pt"),
        ("144pt", "216pt"),
        ("144pt", "288pt"),
    ]
    assert [colour(picture, (0.25, 0.25)) for picture in (drawn[0], drawn[2])] == [RED, BLUE]
    assert colour(drawn[1], (0.75, 0.25)) == pytest.approx(GREEN, abs=1)
    assert colour(drawn[0], (0.75, 0.75)) == WHITE


async def test_only_chosen_pages_are_drawn(drawings: PdfDrawings, run_job: RunJob, three_pages: Path) -> None:
    products = await run_job(drawings, three_pages, "pdf", "svg", pages="3,1")

    assert [(product.page, size_of(product.path)[1]) for product in products] == [(1, "144pt"), (3, "288pt")]
    with pytest.raises(BadOptions, match="page 4"):
        await run_job(drawings, three_pages, "pdf", "svg", pages="4")


async def test_cropped_page_makes_a_cropped_drawing(drawings: PdfDrawings, run_job: RunJob, tmp_path: Path) -> None:
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /CropBox [50 50 150 120] >>"
    source = written(
        tmp_path / "cut.pdf",
        ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page],
    )

    (product,) = await run_job(drawings, source, "pdf", "svg")

    assert size_of(product.path) == ("100pt", "70pt")


async def test_drawing_contains_no_scripts_or_links(drawings: PdfDrawings, run_job: RunJob, tmp_path: Path) -> None:
    links = "".join(
        f"<< /Type /Annot /Subtype /Link /Rect [0 0 90 90] /A << /S /{kind} >> >>"
        for kind in (
            "URI /URI (javascript:alert\\(1\\))",
            "JavaScript /JS (alert\\(1\\))",
            "URI /URI (http://127.0.0.1/x)",
        )
    )
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Annots [{links}] >>"
    catalogue = "<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (alert\\(1\\)) >> >>"
    source = written(tmp_path / "live.pdf", [catalogue, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page])

    (product,) = await run_job(drawings, source, "pdf", "svg")

    text = product.path.read_text()
    assert not re.search(r"script|alert|127\.0\.0\.1|\son\w+=", text)


async def test_progress_reports_every_page(drawings: PdfDrawings, run_job: RunJob, three_pages: Path) -> None:
    told: list[float | None] = []

    await run_job(drawings, three_pages, "pdf", "svg", report=lambda percent, _: told.append(percent))

    assert told == pytest.approx([0, 100 / 3, 200 / 3, 100])


async def test_version_of_poppler(drawings: PdfDrawings) -> None:
    version = await drawings.version()

    assert version is not None
    assert version[0].isdigit()


@pytest.mark.corpus
async def test_corpus_pages_are_all_drawn(sandbox: Sandbox, run_job: RunJob, corpus: Path) -> None:
    failed = []

    async def draw(converter: PdfDrawings, source: Path) -> None:
        try:
            assert await run_job(converter, source, "pdf", "svg", limits=Limits(wall_s=180, cpu_s=12))
        except ConversionError as error:
            failed.append((source.name, type(error)))

    await convert_each((corpus / "pdf").glob("*.pdf"), [PdfDrawings(sandbox), PdfDrawings(sandbox)], draw)
    # A function-based shading, which poppler subdivides into ever smaller pieces.
    assert failed in ([], [("pdf.js__function_based_shading.pdf", LimitExceeded)])
