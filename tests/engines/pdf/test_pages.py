"""PDF to page pictures with the real pdfium and libvips, checked with Pillow and pypdfium2 (behaviours W2, I13)."""

from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from converto_core.errors import (
    BadOptions,
    CorruptSource,
    EngineTimeout,
    LimitExceeded,
    SourceTooLarge,
)
from converto_engines.converter import Limits
from converto_engines.pdf.pages import PdfPages
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import BLUE, GREEN, RED
from tests.engines.pdf.lanes import convert_each


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture.convert("RGB")


def is_near(picture: Image.Image, place: tuple[float, float], colour: tuple[int, int, int]) -> bool:
    """Return whether the pixel at a relative position has approximately this colour."""
    pixel = picture.getpixel((int(place[0] * picture.width), int(place[1] * picture.height)))
    assert isinstance(pixel, tuple)
    return all(abs(one - two) <= 12 for one, two in zip(pixel, colour, strict=True))


@pytest.mark.parametrize(("target", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG")])
async def test_one_picture_per_page_in_order(
    pages: PdfPages, run_job: RunJob, three_pages: Path, target: str, kind: str
) -> None:
    """W2: one image per page, in order."""
    products = await run_job(pages, three_pages, "pdf", target)

    assert [product.page for product in products] == [1, 2, 3]
    for product, colour, size in zip(products, [RED, GREEN, BLUE], [(450, 300), (450, 300), (300, 600)], strict=True):
        with Image.open(product.path) as picture:
            assert picture.format == kind
        picture = opened(product.path)
        assert picture.size == size
        assert is_near(picture, (0.25, 0.25), colour)
        assert is_near(picture, (0.75, 0.75), (255, 255, 255))


async def test_single_page_is_page_one(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    products = await run_job(pages, make_pdf(tmp_path / "one.pdf", [Page()]), "pdf", "png")

    assert [product.page for product in products] == [1]


async def test_rotated_page_is_rendered_as_displayed(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    products = await run_job(pages, make_pdf(tmp_path / "turned.pdf", [Page(rotate=90)]), "pdf", "png")

    picture = opened(products[0].path)
    assert picture.size == (300, 450)
    assert is_near(picture, (0.75, 0.25), RED)
    assert is_near(picture, (0.25, 0.25), (255, 255, 255))


@pytest.mark.parametrize(("dpi", "size"), [(36, (108, 72)), (72, (216, 144)), (300, (900, 600))])
async def test_dpi_sets_the_picture_size(
    pages: PdfPages, run_job: RunJob, tmp_path: Path, dpi: int, size: tuple[int, int]
) -> None:
    products = await run_job(pages, make_pdf(tmp_path / "a.pdf", [Page()]), "pdf", "png", dpi=dpi)

    assert opened(products[0].path).size == size


async def test_width_overrides_dpi_and_keeps_the_shape(pages: PdfPages, run_job: RunJob, three_pages: Path) -> None:
    products = await run_job(pages, three_pages, "pdf", "jpg", width=333, dpi=600)

    assert [opened(product.path).size for product in products] == [(333, 222), (333, 222), (333, 666)]


async def test_chosen_pages_keep_their_numbers(pages: PdfPages, run_job: RunJob, three_pages: Path) -> None:
    products = await run_job(pages, three_pages, "pdf", "png", pages="3,2-3")

    assert [product.page for product in products] == [2, 3]
    assert is_near(opened(products[0].path), (0.25, 0.25), GREEN)


@pytest.mark.parametrize(("choice", "message"), [("2-4", "page 4 .* has 3 pages"), ("3-1", "is reversed; write 1-3")])
async def test_missing_pages_are_bad_options(
    pages: PdfPages, run_job: RunJob, three_pages: Path, choice: str, message: str
) -> None:
    with pytest.raises(BadOptions, match=message):
        await run_job(pages, three_pages, "pdf", "png", pages=choice)


@pytest.mark.parametrize("options", [{"dpi": 35}, {"dpi": 601}, {"pages": "all"}, {"quality": 0}, {"width": 10_001}])
async def test_options_out_of_range_are_bad_options(
    pages: PdfPages, run_job: RunJob, three_pages: Path, options: dict[str, object]
) -> None:
    with pytest.raises(BadOptions):
        await run_job(pages, three_pages, "pdf", "png", **options)


@pytest.mark.parametrize("target", ["jpg", "webp"])
async def test_lower_quality_makes_smaller_pictures(
    pages: PdfPages, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    noise = Image.effect_noise((400, 400), 80)
    noise.save(tmp_path / "noise.pdf", resolution=150)

    poor = await run_job(pages, tmp_path / "noise.pdf", "pdf", target, quality=10)
    fine = await run_job(pages, tmp_path / "noise.pdf", "pdf", target, quality=95)

    assert poor[0].path.stat().st_size < fine[0].path.stat().st_size / 2


async def test_progress_reports_every_page_once(pages: PdfPages, run_job: RunJob, three_pages: Path) -> None:
    told: list[tuple[float | None, str]] = []

    await run_job(pages, three_pages, "pdf", "png", report=lambda percent, stage: told.append((percent, stage)))

    assert [stage for _, stage in told] == ["opening the PDF", "page 1 of 3", "page 2 of 3", "page 3 of 3"]
    assert [percent for percent, _ in told] == pytest.approx([0, 100 / 3, 200 / 3, 100])


async def test_huge_page_names_the_largest_dpi(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    poster = make_pdf(tmp_path / "poster.pdf", [Page(), Page(3600, 1800)])

    with pytest.raises(SourceTooLarge, match=r"Page 2 would be 30000 × 15000 .* The largest that fits is 200 dpi"):
        await run_job(pages, poster, "pdf", "png", dpi=600)

    assert len(await run_job(pages, poster, "pdf", "png", dpi=100, pages="2")) == 1


async def test_truncated_or_other_content_is_corrupt(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    """I13: a damaged file fails clearly."""
    (tmp_path / "no.pdf").write_bytes(b"%PDF-1.7\n" + b"nothing of use" * 50)

    with pytest.raises(CorruptSource):
        await run_job(pages, tmp_path / "no.pdf", "pdf", "png")


async def test_deadline_times_out_and_the_next_converts(
    pages: PdfPages, run_job: RunJob, tmp_path: Path, three_pages: Path
) -> None:
    """I13: a file that never finishes does not stop the worker."""
    many = make_pdf(tmp_path / "many.pdf", [Page(2400, 2400)] * 200)

    with pytest.raises(EngineTimeout):
        await run_job(pages, many, "pdf", "webp", limits=Limits(wall_s=0.5))

    assert len(await run_job(pages, three_pages, "pdf", "png")) == 3


async def test_cpu_limit_is_enforced(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    many = make_pdf(tmp_path / "many.pdf", [Page(2400, 2400)] * 200)

    with pytest.raises(LimitExceeded):
        await run_job(pages, many, "pdf", "webp", limits=Limits(wall_s=60, cpu_s=1))


async def test_version_is_the_build_number(pages: PdfPages) -> None:
    version = await pages.version()

    assert version is not None
    assert version == str(pypdfium2.PDFIUM_INFO.version) or version.split(".")[2].isdigit()


async def test_many_pages_are_each_rendered_and_reported_once(pages: PdfPages, run_job: RunJob, tmp_path: Path) -> None:
    """Pages are distributed over processes and keep their numbers."""
    source = make_pdf(tmp_path / "many.pdf", [Page(72 + number, 72) for number in range(40)])
    told: list[float | None] = []

    products = await run_job(pages, source, "pdf", "png", dpi=72, report=lambda percent, _: told.append(percent))

    assert [opened(product.path).width for product in products] == [72 + number for number in range(40)]
    assert told == pytest.approx([100 * number / 40 for number in range(41)])


@pytest.mark.corpus
async def test_corpus_has_the_pages_and_sizes_of_pdfium(
    pages: PdfPages, sandbox: Sandbox, run_job: RunJob, corpus: Path
) -> None:
    async def check(converter: PdfPages, source: Path) -> None:
        products = await run_job(converter, source, "pdf", "jpg", dpi=72)

        with pypdfium2.PdfDocument(source) as document:
            expected = [tuple(max(round(side), 1) for side in document.get_page_size(i)) for i in range(len(document))]
        assert [opened(product.path).size for product in products] == expected, source.name

    further = PdfPages(sandbox)
    await convert_each((corpus / "pdf").glob("*.pdf"), [pages, further], check)
    await further.aclose()
