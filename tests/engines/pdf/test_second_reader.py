"""Where poppler finds no text and draws nothing, pdfium reads the page."""

import base64
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.text import PdfText
from tests.assets.plain_pdf import written
from tests.engines.conftest import RunJob

_IMAGE = "{http://www.w3.org/2000/svg}image"
_HREF = "{http://www.w3.org/1999/xlink}href"


def mapped(path: Path, drawing: str = "") -> Path:
    """Write a page whose font has a character map that poppler does not bring itself (package poppler-data)."""
    shown = f"{drawing} BT /F1 24 Tf 20 100 Td (Words of a map) Tj ET"
    descriptor = "/FontDescriptor << /Type /FontDescriptor /FontName /Sample /Flags 4 /FontBBox [0 -200 1000 900]"
    metrics = "/ItalicAngle 0 /Ascent 900 /Descent -200 /CapHeight 700 /StemV 80 >>"
    system = "/CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >>"
    return written(
        path,
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
            "/Resources << /Font << /F1 5 0 R >> >> >>",
            f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
            "<< /Type /Font /Subtype /Type0 /BaseFont /Sample /Encoding /90ms-RKSJ-H /DescendantFonts [6 0 R] >>",
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Sample /DW 500 {system} {descriptor} {metrics} >>",
        ],
    )


def shapes_and_picture(path: Path) -> tuple[bool, Image.Image | None]:
    """Return whether a drawing has shapes, and its first picture."""
    root = ElementTree.parse(path).getroot()
    picture = next(root.iter(_IMAGE), None)
    has_shapes = any(element.tag.endswith(("}path", "}use")) for element in root.iter())
    if picture is None:
        return has_shapes, None
    content = base64.b64decode(picture.attrib[_HREF].partition(",")[2])
    return has_shapes, Image.open(io.BytesIO(content)).convert("L")


@pytest.mark.parametrize("layout", [False, True])
async def test_text_in_an_unknown_character_map_is_found(
    texts: PdfText, run_job: RunJob, made: Path, *, layout: bool
) -> None:
    (product,) = await run_job(texts, mapped(made / "a.pdf"), "pdf", "txt", layout=layout)

    assert product.path.read_text().split() == ["Words", "of", "a", "map"]


@pytest.mark.parametrize("drawing", ["", "0 0 1 rg 0 0 50 50 re f"])
async def test_drawing_never_lacks_text_of_the_page(
    drawings: PdfDrawings, run_job: RunJob, made: Path, drawing: str
) -> None:
    notes: list[str] = []
    (product,) = await run_job(drawings, mapped(made / "a.pdf", drawing), "pdf", "svg", note=notes.append)

    has_shapes, picture = shapes_and_picture(product.path)
    if picture is None:  # poppler-data is installed here
        assert has_shapes
        return
    left, top, right, bottom = (side / 200 * 72 for side in picture.point(lambda grey: 255 * (grey < 200)).getbbox())
    assert left < 30
    assert 60 < top < 100
    assert right > 100
    assert bottom > (190 if drawing else 95)
    assert notes == ["Drawn as a picture, because it cannot be drawn as shapes here: page 1"]


async def test_empty_page_stays_an_empty_drawing(drawings: PdfDrawings, run_job: RunJob, made: Path) -> None:
    notes: list[str] = []
    empty = written(
        made / "empty.pdf",
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        ],
    )
    (product,) = await run_job(drawings, empty, "pdf", "svg", note=notes.append)

    assert shapes_and_picture(product.path) == (False, None)
    assert notes == []


@pytest.mark.corpus
async def test_page_that_poppler_gives_up_is_read(
    texts: PdfText, drawings: PdfDrawings, run_job: RunJob, corpus: Path
) -> None:
    source = corpus.parent / "found" / "pdf.js__issue2391-1.pdf"
    if not source.is_file():
        pytest.skip("this file is not here")
    (text,) = await run_job(texts, source, "pdf", "txt")
    (drawing,) = await run_job(drawings, source, "pdf", "svg")

    assert text.path.read_text().strip() == "test command with wrong number of args"
    assert shapes_and_picture(drawing.path)[1] is not None
