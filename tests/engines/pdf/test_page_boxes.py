"""Pages with odd boxes are shown whole, and the unit of a page counts, in pictures, drawings and PDFs."""

from pathlib import Path
from xml.etree import ElementTree

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from converto_engines.pdf.document import PdfDocument
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.pages import PdfPages
from tests.assets.plain_pdf import Page, make_pdf, written
from tests.engines.conftest import RunJob

_ODD = [
    "/MediaBox [0 0 0 0]",
    "/MediaBox [0 0 400 300] /CropBox [0 0 0 0]",
    "/MediaBox [0 0 300 400] /CropBox [300 400 500 500]",
    "/MediaBox [0 0 200 100] /CropBox [0 0 100 50]",
]
_SIZES = [(612, 792), (400, 300), (300, 400), (100, 50)]


@pytest.fixture
def odd(made: Path) -> Path:
    kids = " ".join(f"{3 + index} 0 R" for index in range(len(_ODD)))
    contents = 3 + len(_ODD)
    pages = [f"<< /Type /Page /Parent 2 0 R {box} /Contents {contents} 0 R >>" for box in _ODD]
    tree = f"<< /Type /Pages /Kids [{kids}] /Count {len(_ODD)} >>"
    drawing = "<< /Length 27 >>\nstream\n1 0 0 rg 0 0 50 50 re f    \nendstream"
    return written(made / "odd.pdf", ["<< /Type /Catalog /Pages 2 0 R >>", tree, *pages, drawing])


@pytest.fixture
def doubled(made: Path) -> Path:
    """Two pages of 216 × 144 units, the first one of 1/36 inch."""
    plain = make_pdf(made / "plain.pdf", [Page(), Page()])
    with pikepdf.open(plain) as document:
        document.pages[0].obj["/UserUnit"] = 2
        document.save(made / "doubled.pdf", object_stream_mode=pikepdf.ObjectStreamMode.generate)
    assert b"UserUnit" not in (made / "doubled.pdf").read_bytes()
    return made / "doubled.pdf"


def drawing_size(path: Path) -> tuple[float, ...]:
    root = ElementTree.parse(path).getroot()
    return tuple(float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


async def test_odd_boxes_are_shown_whole_in_pictures(pages: PdfPages, run_job: RunJob, odd: Path) -> None:
    products = await run_job(pages, odd, "pdf", "png", dpi=72)

    assert [picture_size(product.path) for product in products] == _SIZES
    for product in products:
        with Image.open(product.path) as picture:
            assert picture.convert("RGB").getpixel((10, picture.height - 10)) == (255, 0, 0)


async def test_odd_boxes_are_shown_whole_in_drawings(drawings: PdfDrawings, run_job: RunJob, odd: Path) -> None:
    products = await run_job(drawings, odd, "pdf", "svg")

    assert [drawing_size(product.path) for product in products] == _SIZES


@pytest.mark.parametrize("compress", ["none", "lossless"])
async def test_odd_boxes_are_mended_in_a_pdf(document: PdfDocument, run_job: RunJob, odd: Path, compress: str) -> None:
    (product,) = await run_job(document, odd, "pdf", "pdf", compress=compress)

    assert [page.get_size() for page in pypdfium2.PdfDocument(product.path)] == _SIZES


async def test_unit_of_a_page_counts_in_pictures(pages: PdfPages, run_job: RunJob, doubled: Path) -> None:
    products = await run_job(pages, doubled, "pdf", "png", dpi=72)
    wide = await run_job(pages, doubled, "pdf", "png", width=300)

    assert [picture_size(product.path) for product in products] == [(432, 288), (216, 144)]
    assert [picture_size(product.path) for product in wide] == [(300, 200), (300, 200)]


async def test_unit_of_a_page_counts_in_drawings(drawings: PdfDrawings, run_job: RunJob, doubled: Path) -> None:
    products = await run_job(drawings, doubled, "pdf", "svg")

    assert [drawing_size(product.path) for product in products] == [(432, 288), (216, 144)]
    assert ElementTree.parse(products[0].path).getroot().attrib["viewBox"] == "0 0 216 144"


@pytest.mark.parametrize("options", [{}, {"pages": "1"}, {"compress": "lossless"}, {"rotate": 90}])
async def test_unit_of_a_page_stays_in_a_pdf(
    document: PdfDocument, run_job: RunJob, doubled: Path, options: dict[str, object]
) -> None:
    (product,) = await run_job(document, doubled, "pdf", "pdf", **options)

    with pikepdf.open(product.path) as made:
        assert [page.obj.get("/UserUnit", 1) for page in made.pages] == ([2] if "pages" in options else [2, 1])
