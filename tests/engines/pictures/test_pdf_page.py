"""Pictures on a PDF page, read back with pdfium."""

from collections.abc import AsyncIterator
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from converto_core.errors import ConversionError, SourceTooLarge
from converto_engines.pictures.pdf_page import PicturePage
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob


@pytest.fixture
async def converter(sandbox: Sandbox) -> AsyncIterator[PicturePage]:
    pictures = Pictures(sandbox)
    result = PicturePage(sandbox, pictures)
    assert await result.version() is not None
    yield result
    await pictures.aclose()


def page_of(path: Path) -> tuple[tuple[float, float], Image.Image]:
    document = pypdfium2.PdfDocument(path)
    assert len(document) == 1
    return document[0].get_size(), document[0].render(scale=96 / 72).to_pil().convert("RGB")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "tiff"])
async def test_page_has_the_shape_and_colour_of_the_picture(
    converter: PicturePage, run_job: RunJob, tmp_path: Path, kind: str
) -> None:
    """M11 in part: the README's example converts a photo to PDF."""
    source = tmp_path / f"red.{kind}"
    Image.new("RGB", (192, 96), (200, 30, 30)).save(source, format="JPEG" if kind == "jpg" else None)
    (product,) = await run_job(converter, source, kind, "pdf")
    size, drawn = page_of(product.path)

    assert size == pytest.approx((144, 72))
    assert drawn.size == (192, 96)
    assert drawn.getpixel((96, 48)) == pytest.approx((200, 30, 30), abs=6)


async def test_rotated_photo_is_upright(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    source, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (192, 96), (0, 0, 255)).save(source, exif=exif)
    (product,) = await run_job(converter, source, "jpg", "pdf")

    assert page_of(product.path)[0] == pytest.approx((72, 144))


async def test_width_shrinks_the_picture_and_quality_the_file(
    converter: PicturePage, run_job: RunJob, tmp_path: Path
) -> None:
    source = tmp_path / "noise.png"
    Image.effect_noise((400, 200), 90).convert("RGB").save(source)
    (small,) = await run_job(converter, source, "png", "pdf", width=200)
    (fine,) = await run_job(converter, source, "png", "pdf", quality=95)
    (coarse,) = await run_job(converter, source, "png", "pdf", quality=20)

    assert page_of(small.path)[0] == pytest.approx((150, 75))
    assert coarse.path.stat().st_size < fine.path.stat().st_size / 2


@pytest.mark.corpus
async def test_hostile_picture_is_refused(converter: PicturePage, run_job: RunJob, corpus: Path) -> None:
    """I13."""
    with pytest.raises(SourceTooLarge):
        await run_job(converter, corpus / "hostile_made" / "lie_65000x65000.png", "png", "pdf")
    with pytest.raises(ConversionError):
        await run_job(converter, corpus / "hostile_made" / "truncated_half.png", "png", "pdf")
