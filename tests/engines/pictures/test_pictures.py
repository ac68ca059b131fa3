"""Pictures to other formats with the real libvips, read back with Pillow (behaviour M11)."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from converto_core.errors import BadOptions, CorruptSource, EngineError
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import (
    BLUE,
    PILLOW_SOURCES,
    RED,
    SVG,
    TARGETS,
    colour_at,
    drawn_by_ffmpeg,
    is_near,
    marked,
    opened,
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", [*PILLOW_SOURCES, "svg"])
async def test_converted_picture_keeps_size_and_colours(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    """M11: PNG and JPEG to WebP and AVIF, and every other pair of formats."""
    path = tmp_path / f"in.{source}"
    if source == "svg":
        path.write_text(SVG)
    else:
        marked().save(path, PILLOW_SOURCES[source], **({"sizes": [(120, 80)]} if source == "ico" else {}))

    products = await run_job(pictures, path, source, target)

    assert [product.page for product in products] == [None]
    with Image.open(products[0].path) as result:
        assert result.format == TARGETS[target]
    result = opened(products[0].path)
    assert result.size == (120, 80)
    assert is_near(colour_at(result, 0.25, 0.25), RED, 30)
    assert is_near(colour_at(result, 0.75, 0.75), BLUE, 30)


async def test_jxl_keeps_size_and_colours_for_another_reader(pictures: Pictures, run_job: RunJob, png: Path) -> None:
    (product,) = await run_job(pictures, png, "png", "jxl")
    (back,) = await run_job(pictures, product.path, "jxl", "webp")

    for result in (drawn_by_ffmpeg(product.path), opened(back.path)):
        assert result.size == (120, 80)
        assert is_near(colour_at(result, 0.25, 0.25), RED, 30)
        assert is_near(colour_at(result, 0.75, 0.75), BLUE, 30)


async def test_heic_reads_back_the_same(pictures: Pictures, run_job: RunJob, png: Path) -> None:
    (product,) = await run_job(pictures, png, "png", "heic")
    (back,) = await run_job(pictures, product.path, "heic", "png")

    assert product.path.read_bytes()[4:12] == b"ftypheic"
    assert b"hvc1" in product.path.read_bytes()
    result = opened(back.path)
    assert result.size == (120, 80)
    assert is_near(colour_at(result, 0.25, 0.25), RED, 30)
    assert is_near(colour_at(result, 0.75, 0.75), BLUE, 30)


@pytest.mark.parametrize(
    ("size", "options", "sizes"),
    [
        ((400, 300), {}, {16, 24, 32, 48, 64, 128, 256}),
        ((60, 40), {}, {16, 24, 32, 48, 60}),
        ((400, 300), {"width": 32}, {16, 24, 32}),
        ((60, 40), {"width": 64, "enlarge": True}, {16, 24, 32, 48, 64}),
    ],
)
async def test_icon_has_all_usual_sizes_up_to_the_picture(
    pictures: Pictures,
    run_job: RunJob,
    tmp_path: Path,
    size: tuple[int, int],
    options: dict[str, Any],
    sizes: set[int],
) -> None:
    marked(size).save(tmp_path / "a.png")

    (product,) = await run_job(pictures, tmp_path / "a.png", "png", "ico", **options)

    with Image.open(product.path) as icon:
        assert icon.info["sizes"] == {(side, side) for side in sizes}
        for side in sizes:
            icon.size = (side, side)
            result = icon.copy().convert("RGBA")
            assert result.size == (side, side)
            assert is_near(colour_at(result, 0.25, 0.4), RED, 40)
            assert result.getpixel((side // 2, 0))[3] == 0  # type: ignore[index]
            assert result.getpixel((side // 2, side // 2))[3] == 255  # type: ignore[index]


async def test_icon_over_256_pixels_is_refused(pictures: Pictures, run_job: RunJob, png: Path) -> None:
    with pytest.raises(BadOptions, match="at most 256"):
        await run_job(pictures, png, "png", "ico", width=300)


@pytest.mark.parametrize("target", ["jpg", "png", "bmp", "webp"])
async def test_grey_targa_stays_grey_and_opaque(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.new("L", (40, 40), 100).save(tmp_path / "grey.tga")

    (product,) = await run_job(pictures, tmp_path / "grey.tga", "tga", target)

    assert "A" not in opened(product.path).getbands()
    assert is_near(colour_at(opened(product.path), 0.5, 0.5), (100, 100, 100))


async def test_svg_is_no_target(pictures: Pictures) -> None:
    """Tracing a photo is not offered."""
    assert "svg" not in pictures.targets


async def test_version_and_formats_come_from_the_library(sandbox: Sandbox) -> None:
    pictures = Pictures(sandbox)

    version = await pictures.version()

    assert version is not None
    assert version.startswith("8.")
    assert set(TARGETS) <= set(pictures.targets)
    assert {"svg", "heic", "jp2"} <= set(pictures.sources)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["libvips__ojpeg-strip.tif", "libvips__ojpeg-tile.tif"])
async def test_old_style_jpeg_tiff_converts(pictures: Pictures, run_job: RunJob, corpus: Path, name: str) -> None:
    (product,) = await run_job(pictures, corpus / "images" / name, "tiff", "png")

    with Image.open(corpus / "images" / name) as original:
        assert opened(product.path).size == original.size
        assert is_near(colour_at(opened(product.path), 0.5, 0.5), colour_at(original, 0.5, 0.5), 2)


@pytest.mark.corpus
async def test_corpus_picture_has_the_size_pillow_sees(pictures: Pictures, run_job: RunJob, corpus: Path) -> None:
    checked = 0
    for source in sorted((corpus / "images").iterdir()):
        format_name = {"tif": "tiff", "jpeg": "jpg"}.get(source.suffix[1:], source.suffix[1:])
        if format_name not in pictures.sources:
            continue
        try:
            products = await run_job(pictures, source, format_name, "jpg", quality=50)
        except (CorruptSource, EngineError):
            continue  # some of these are broken on purpose
        result = opened(products[0].path)
        if format_name not in {"svg", "heic", "avif", "psd", "ico"}:
            with Image.open(source) as original:
                turned = original.getexif().get(0x0112, 1) >= 5
                assert result.size == (original.size[::-1] if turned else original.size), source.name
        checked += 1
    assert checked >= 24
