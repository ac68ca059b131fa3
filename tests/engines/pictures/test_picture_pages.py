"""Pictures with several pages: all of them in a PDF, one of them elsewhere, and what users are told."""

from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from PIL import Image, ImageDraw

from converto_core.errors import BadOptions, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.pictures.pdf_page import PicturePage
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import BLUE, GREEN, RED, animation, colour_at, is_near, marked, opened

_FAX_SIZE = (1728, 2200)
_FAX_DPI = (204, 196)


@pytest.fixture
async def converter(sandbox: Sandbox, pictures: Pictures) -> PicturePage:
    result = PicturePage(sandbox, pictures)
    assert await result.version() is not None
    return result


def fax(path: Path, **more: Any) -> Path:
    """Three pages in one bit per pixel, each with a black square at another place."""
    pages = []
    for number in range(3):
        page = Image.new("1", _FAX_SIZE, 1)
        ImageDraw.Draw(page).rectangle((100 + 500 * number, 200, 500 + 500 * number, 600), fill=0)
        pages.append(page)
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="group4", dpi=_FAX_DPI, **more)
    return path


def pictures_of(path: Path) -> list[dict[str, str]]:
    with pikepdf.open(path) as document:
        found = [page.obj.Resources.XObject.Picture for page in document.pages]
        keys = ("/Filter", "/BitsPerComponent", "/Width", "/Height", "/ColorSpace")
        return [{key: str(picture[key]) for key in keys} for picture in found]


async def test_fax_becomes_pages_of_its_own_size(
    pictures: Pictures, converter: PicturePage, run_job: RunJob, tmp_path: Path
) -> None:
    source, notes = fax(tmp_path / "fax.tif"), list[str]()
    path = await run_chain(run_job, [pictures, converter], source, ("tiff", "pdf"))
    await run_job(converter, source, "tiff", "pdf", note=notes.append)

    document = pypdfium2.PdfDocument(path)
    wanted_mm = [25.4 * pixels / dpi for pixels, dpi in zip(_FAX_SIZE, _FAX_DPI, strict=True)]
    assert len(document) == 3
    for number, page in enumerate(document):
        assert [25.4 * side / 72 for side in page.get_size()] == pytest.approx(wanted_mm, abs=0.1)
        drawn = page.render(scale=0.5).to_pil()
        middles = [colour_at(drawn, (300 + 500 * place) / _FAX_SIZE[0], 400 / _FAX_SIZE[1]) for place in range(3)]
        assert [is_near(middle, (0, 0, 0)) for middle in middles] == [place == number for place in range(3)]
    assert notes == []


async def test_black_and_white_pages_stay_one_bit(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(converter, fax(tmp_path / "fax.tif"), "tiff", "pdf")

    for picture in pictures_of(product.path):
        assert picture["/Filter"] == "/CCITTFaxDecode"
        assert (picture["/BitsPerComponent"], picture["/Width"], picture["/Height"]) == ("1", "1728", "2200")
    assert product.path.stat().st_size < 10_000


async def test_black_and_white_png_keeps_every_pixel(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    noise = Image.effect_noise((301, 203), 120).convert("1")
    noise.save(tmp_path / "noise.png")
    (product,) = await run_job(converter, tmp_path / "noise.png", "png", "pdf")

    drawn = pypdfium2.PdfDocument(product.path)[0].render(scale=96 / 72).to_pil().convert("1")
    assert drawn.size == noise.size
    assert drawn.tobytes() == noise.tobytes()


async def test_pages_keep_order_colour_and_resolution(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (300, 150), RED), Image.new("L", (600, 300), 128), Image.new("RGB", (100, 400), BLUE)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:], dpi=(300, 300))
    (product,) = await run_job(converter, tmp_path / "scan.tif", "tiff", "pdf")

    document = pypdfium2.PdfDocument(product.path)
    assert [tuple(map(round, page.get_size())) for page in document] == [(72, 36), (144, 72), (24, 96)]
    colours = [colour_at(page.render().to_pil(), 0.5, 0.5) for page in document]
    assert all(is_near(*pair) for pair in zip(colours, [RED, (128, 128, 128), BLUE], strict=True))
    assert pictures_of(product.path)[1]["/ColorSpace"] == "/DeviceGray"


async def test_chosen_page_of_several_is_put_on_a_page(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    pages = [marked(), Image.new("RGB", (120, 80), GREEN)]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    (product,) = await run_job(converter, tmp_path / "two.tif", "tiff", "pdf", page=2)

    document = pypdfium2.PdfDocument(product.path)
    assert len(document) == 1
    assert is_near(colour_at(document[0].render().to_pil(), 0.2, 0.2), GREEN)
    with pytest.raises(BadOptions, match="page: the picture has only 2 pages, not 3"):
        await run_job(converter, tmp_path / "two.tif", "tiff", "pdf", page=3)


async def test_first_frame_of_an_animation_is_told(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    (product,) = await run_job(converter, animation(tmp_path / "a.gif"), "gif", "pdf", note=notes.append)
    (last,) = await run_job(converter, tmp_path / "a.gif", "gif", "pdf", page=3)

    assert len(pypdfium2.PdfDocument(product.path)) == 1
    assert notes == ["Only frame 1 of 3 was converted; the option page selects another"]
    assert is_near(colour_at(pypdfium2.PdfDocument(last.path)[0].render().to_pil(), 0.5, 0.5), BLUE)


async def test_page_of_a_scan_is_told_elsewhere(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    await run_job(pictures, fax(tmp_path / "fax.tif"), "tiff", "png", note=notes.append)
    (product,) = await run_job(pictures, fax(tmp_path / "fax.tif"), "tiff", "png", note=notes.append, page=3)

    assert notes == [f"Only page {page} of 3 was converted; the option page selects another" for page in (1, 3)]
    assert is_near(colour_at(opened(product.path), 1300 / 1728, 400 / 2200), (0, 0, 0))


async def test_smaller_copies_in_a_tiff_are_no_pages(
    pictures: Pictures, converter: PicturePage, run_job: RunJob, tmp_path: Path
) -> None:
    notes: list[str] = []
    thumbnail = marked((30, 20))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    pages = [marked(), thumbnail]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    with Image.open(tmp_path / "two.tif") as made:
        made.seek(1)
        assert made.tag_v2.get(254) == 1  # type: ignore[attr-defined]

    (product,) = await run_job(converter, tmp_path / "two.tif", "tiff", "pdf", note=notes.append)
    await run_job(pictures, tmp_path / "two.tif", "tiff", "png", note=notes.append)

    assert len(pypdfium2.PdfDocument(product.path)) == 1
    assert notes == []


async def test_too_many_pages_are_refused(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="has 3 pages; at most 2 are allowed"):
        await run_job(converter, fax(tmp_path / "fax.tif"), "tiff", "pdf", limits=Limits(wall_s=60, pages=2))


@pytest.mark.parametrize("kind", ["png", "jpg", "tiff"])
@pytest.mark.parametrize(("dpi", "points"), [(300, 72), (72, 225)])
async def test_stated_resolution_counts_but_not_the_usual_72(
    converter: PicturePage, run_job: RunJob, tmp_path: Path, *, kind: str, dpi: int, points: int
) -> None:
    source = tmp_path / f"scan.{kind}"
    marked((300, 300)).save(source, format={"jpg": "JPEG"}.get(kind), dpi=(dpi, dpi))
    (product,) = await run_job(converter, source, kind, "pdf")
    (shrunk,) = await run_job(converter, source, kind, "pdf", width=150)

    assert pypdfium2.PdfDocument(product.path)[0].get_size() == pytest.approx((points, points), abs=0.1)
    if dpi == 300:  # the picture has fewer pixels, the page its size
        assert pypdfium2.PdfDocument(shrunk.path)[0].get_size() == pytest.approx((points, points), abs=0.1)
        assert pictures_of(shrunk.path)[0]["/Width"] == "150"


async def test_too_long_a_picture_advises_to_shrink(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    Image.new("RGB", (70_000, 10), RED).save(tmp_path / "long.png")

    with pytest.raises(SourceTooLarge, match=r"at most 65,500 per side fit on a page\. Set width"):
        await run_job(converter, tmp_path / "long.png", "png", "pdf")
    (product,) = await run_job(converter, tmp_path / "long.png", "png", "pdf", width=7000)
    assert pypdfium2.PdfDocument(product.path)[0].get_size() == pytest.approx((5250, 0.75))


async def test_single_pixel_becomes_a_page(converter: PicturePage, run_job: RunJob, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(tmp_path / "dot.png")
    (product,) = await run_job(converter, tmp_path / "dot.png", "png", "pdf")

    assert pypdfium2.PdfDocument(product.path)[0].get_size() == pytest.approx((0.75, 0.75))
