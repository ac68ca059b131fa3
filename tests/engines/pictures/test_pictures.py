"""Pictures to pictures with the real libvips, looked at with Pillow (behaviours M11, I13)."""

import asyncio
import contextlib
import io
import os
import signal
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from converto_core.errors import BadOptions, CorruptSource, EngineError, EngineTimeout, LimitExceeded, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Child, Sandbox
from tests.engines.conftest import RunJob, until

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
TARGETS = {
    "png": "PNG",
    "jpg": "JPEG",
    "webp": "WEBP",
    "avif": "AVIF",
    "tiff": "TIFF",
    "gif": "GIF",
    "bmp": "BMP",
    "jp2": "JPEG2000",
}
PILLOW_SOURCES = {**TARGETS, "ico": "ICO", "tga": "TGA"}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80">'
    '<rect width="120" height="80" fill="blue"/><rect width="60" height="40" fill="red"/></svg>'
)


def marked(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A blue picture whose upper left quarter is red."""
    picture = Image.new("RGB", size, BLUE)
    picture.paste(RED, (0, 0, size[0] // 2, size[1] // 2))
    return picture


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture.copy()


def colour_at(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place in parts of width and height."""
    pixel = picture.convert("RGB").getpixel((int(x * picture.width), int(y * picture.height)))
    assert isinstance(pixel, tuple)
    return tuple(int(part) for part in pixel)


def is_near(one: tuple[int, ...], two: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(left - right) <= tolerance for left, right in zip(one, two, strict=True))


@pytest.fixture(scope="session")
async def pictures(sandbox: Sandbox) -> AsyncIterator[Pictures]:
    converter = Pictures(sandbox)
    assert await converter.version()
    yield converter
    await converter.aclose()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "marked.png"
    marked().save(path)
    return path


def animation(path: Path, **more: Any) -> Path:
    frames = [Image.new("RGB", (60, 40), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0, **more)
    return path


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", [*PILLOW_SOURCES, "svg"])
async def test_picture_when_converted_then_same_size_and_colours_in_the_new_format(
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
    with Image.open(products[0].path) as made:
        assert made.format == TARGETS[target]
    made = opened(products[0].path)
    assert made.size == (120, 80)
    assert is_near(colour_at(made, 0.25, 0.25), RED, 30)
    assert is_near(colour_at(made, 0.75, 0.75), BLUE, 30)


async def test_jxl_when_converted_then_another_reader_sees_the_same_size_and_colours(
    pictures: Pictures, run_job: RunJob, png: Path
) -> None:
    (product,) = await run_job(pictures, png, "png", "jxl")
    (back,) = await run_job(pictures, product.path, "jxl", "webp")

    for made in (drawn_by_ffmpeg(product.path), opened(back.path)):
        assert made.size == (120, 80)
        assert is_near(colour_at(made, 0.25, 0.25), RED, 30)
        assert is_near(colour_at(made, 0.75, 0.75), BLUE, 30)


def drawn_by_ffmpeg(path: Path) -> Image.Image:
    """A picture of a format that Pillow does not read."""
    argv = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "image2pipe", "-c:v", "png", "-"]
    return Image.open(io.BytesIO(subprocess.run(argv, check=True, capture_output=True).stdout))


async def test_heic_when_converted_then_it_is_one_and_reads_back_the_same(
    pictures: Pictures, run_job: RunJob, png: Path
) -> None:
    (product,) = await run_job(pictures, png, "png", "heic")
    (back,) = await run_job(pictures, product.path, "heic", "png")

    assert product.path.read_bytes()[4:12] == b"ftypheic"
    assert b"hvc1" in product.path.read_bytes()
    made = opened(back.path)
    assert made.size == (120, 80)
    assert is_near(colour_at(made, 0.25, 0.25), RED, 30)
    assert is_near(colour_at(made, 0.75, 0.75), BLUE, 30)


@pytest.mark.parametrize(
    ("size", "options", "sizes"),
    [
        ((400, 300), {}, {16, 24, 32, 48, 64, 128, 256}),
        ((60, 40), {}, {16, 24, 32, 48, 60}),
        ((400, 300), {"width": 32}, {16, 24, 32}),
        ((60, 40), {"width": 64, "enlarge": True}, {16, 24, 32, 48, 64}),
    ],
)
async def test_icon_when_made_then_all_usual_sizes_up_to_that_of_the_picture(
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
            made = icon.copy().convert("RGBA")
            assert made.size == (side, side)
            assert is_near(colour_at(made, 0.25, 0.4), RED, 40)
            assert made.getpixel((side // 2, 0))[3] == 0  # type: ignore[index]
            assert made.getpixel((side // 2, side // 2))[3] == 255  # type: ignore[index]


async def test_icon_when_more_than_256_pixels_are_asked_for_then_bad_options(
    pictures: Pictures, run_job: RunJob, png: Path
) -> None:
    with pytest.raises(BadOptions, match="at most 256"):
        await run_job(pictures, png, "png", "ico", width=300)


@pytest.mark.parametrize("target", ["jpg", "png", "bmp", "webp"])
async def test_targa_when_it_is_grey_then_it_stays_grey_and_nothing_is_taken_for_transparency(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.new("L", (40, 40), 100).save(tmp_path / "grey.tga")

    (product,) = await run_job(pictures, tmp_path / "grey.tga", "tga", target)

    assert "A" not in opened(product.path).getbands()
    assert is_near(colour_at(opened(product.path), 0.5, 0.5), (100, 100, 100))


async def test_svg_when_wanted_as_a_target_then_not_offered(pictures: Pictures) -> None:
    """Tracing a photo is no conversion."""
    assert "svg" not in pictures.targets


BOXES = [
    ({"width": 60}, (60, 40)),
    ({"height": 20}, (30, 20)),
    ({"width": 60, "height": 20}, (30, 20)),
    ({"width": 60, "height": 60, "fit": "cover"}, (60, 60)),
    ({"width": 50, "height": 60, "fit": "fill"}, (50, 60)),
    ({"width": 500}, (120, 80)),
    ({"width": 500, "height": 60, "fit": "fill"}, (120, 60)),
    ({"width": 500, "height": 60, "fit": "cover"}, (120, 60)),
    ({"width": 240, "enlarge": True}, (240, 160)),
    ({"width": 1}, (1, 1)),
]


@pytest.mark.parametrize(("options", "size"), BOXES)
async def test_size_when_asked_for_then_fitted_as_told_and_never_enlarged_unasked(
    pictures: Pictures, run_job: RunJob, png: Path, options: dict[str, Any], size: tuple[int, int]
) -> None:
    products = await run_job(pictures, png, "png", "png", **options)

    assert opened(products[0].path).size == size


async def test_fit_when_cover_then_the_middle_is_kept(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    stripes = Image.new("RGB", (300, 100), RED)
    stripes.paste(GREEN, (100, 0, 200, 100))
    stripes.save(tmp_path / "stripes.png")

    products = await run_job(pictures, tmp_path / "stripes.png", "png", "png", width=50, height=50, fit="cover")

    made = opened(products[0].path)
    assert is_near(colour_at(made, 0.1, 0.5), GREEN)
    assert is_near(colour_at(made, 0.9, 0.5), GREEN)


async def test_svg_when_a_size_is_asked_for_then_drawn_sharp_at_that_size(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    path = tmp_path / "a.svg"
    path.write_text(SVG)

    products = await run_job(pictures, path, "svg", "png", width=1200)

    made = opened(products[0].path).convert("RGB")
    assert made.size == (1200, 800)
    assert made.getpixel((596, 100)) == RED
    assert made.getpixel((604, 100)) == BLUE


@pytest.mark.parametrize("target", ["jpg", "webp", "avif", "heic", "jp2", "jxl"])
async def test_quality_when_lower_then_the_file_is_smaller(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.effect_noise((256, 256), 60).convert("RGB").save(tmp_path / "noise.png")

    poor = await run_job(pictures, tmp_path / "noise.png", "png", target, quality=10)
    fine = await run_job(pictures, tmp_path / "noise.png", "png", target, quality=95)

    assert poor[0].path.stat().st_size < fine[0].path.stat().st_size / 2


@pytest.mark.parametrize(("target", "tolerance"), [("webp", 0), ("avif", 4), ("jp2", 0), ("jxl", 0)])
async def test_lossless_when_asked_then_pixels_are_kept(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str, tolerance: int
) -> None:
    source = Image.merge("RGB", [Image.effect_noise((64, 64), 60) for _ in range(3)])
    source.save(tmp_path / "noise.png")

    products = await run_job(pictures, tmp_path / "noise.png", "png", target, lossless=True)

    made = (drawn_by_ffmpeg if target == "jxl" else opened)(products[0].path).convert("RGB")
    assert all(is_near(one, two, tolerance) for one, two in zip(_pixels(made), _pixels(source), strict=True))


def _pixels(picture: Image.Image) -> list[tuple[int, ...]]:
    content = picture.convert("RGB").tobytes()
    return [tuple(content[start : start + 3]) for start in range(0, len(content), 3)]


async def test_lossless_when_the_target_is_jpeg_then_bad_options(
    pictures: Pictures, run_job: RunJob, png: Path
) -> None:
    with pytest.raises(BadOptions, match="JPEG cannot be lossless"):
        await run_job(pictures, png, "png", "jpg", lossless=True)


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("jpg", {}, WHITE),
        ("jpg", {"background": "#00ff00"}, (0, 255, 0)),
        ("bmp", {}, WHITE),
        ("png", {"background": "#0000FF"}, BLUE),
    ],
)
async def test_background_when_the_picture_is_transparent_then_it_stands_behind(
    pictures: Pictures,
    run_job: RunJob,
    tmp_path: Path,
    target: str,
    options: dict[str, Any],
    expected: tuple[int, int, int],
) -> None:
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 20, 40))
    picture.save(tmp_path / "clear.png")

    products = await run_job(pictures, tmp_path / "clear.png", "png", target, **options)

    made = opened(products[0].path)
    assert made.mode == "RGB"
    assert is_near(colour_at(made, 0.1, 0.5), RED)
    assert is_near(colour_at(made, 0.9, 0.5), expected)


@pytest.mark.parametrize("target", ["png", "webp", "avif", "tiff", "gif", "jp2", "jxl", "heic"])
async def test_transparency_when_the_target_can_hold_it_then_kept(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 20, 40))
    picture.save(tmp_path / "clear.png")

    products = await run_job(pictures, tmp_path / "clear.png", "png", target)

    if target in {"jxl", "heic"}:
        products = await run_job(pictures, products[0].path, target, "png")
    alpha = opened(products[0].path).convert("RGBA").getchannel("A")
    assert alpha.getpixel((2, 20)) == 255
    assert alpha.getpixel((37, 20)) == 0


@pytest.mark.parametrize("options", [{}, {"width": 40}, {"strip": True}])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "bmp", "jp2"])
async def test_orientation_when_the_camera_was_turned_then_the_picture_stands_upright(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    marked().save(tmp_path / "turned.jpg", exif=exif, quality=95)

    products = await run_job(pictures, tmp_path / "turned.jpg", "jpg", target, **options)

    made = opened(products[0].path)
    assert made.size == ((40, 60) if options.get("width") else (80, 120))
    assert is_near(colour_at(made, 0.75, 0.2), RED, 30)
    assert is_near(colour_at(made, 0.25, 0.2), BLUE, 30)
    assert made.getexif().get(0x0112, 1) == 1


async def test_strip_when_asked_then_metadata_is_gone_and_kept_otherwise(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    marked().save(tmp_path / "a.jpg", exif=exif)

    kept = await run_job(pictures, tmp_path / "a.jpg", "jpg", "jpg")
    stripped = await run_job(pictures, tmp_path / "a.jpg", "jpg", "jpg", strip=True)

    assert opened(kept[0].path).getexif().get(0x010F) == "Camera maker"
    assert 0x010F not in opened(stripped[0].path).getexif()


async def test_strip_when_the_picture_has_a_profile_then_its_colours_are_turned_into_srgb(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    profile = _profile_with_red_and_blue_swapped()
    marked().save(tmp_path / "a.png", icc_profile=profile)

    kept = opened((await run_job(pictures, tmp_path / "a.png", "png", "webp"))[0].path)
    stripped = opened((await run_job(pictures, tmp_path / "a.png", "png", "webp", strip=True))[0].path)

    assert kept.info.get("icc_profile") == profile
    assert is_near(colour_at(kept, 0.25, 0.25), RED)
    assert "icc_profile" not in stripped.info
    assert is_near(colour_at(stripped, 0.25, 0.25), BLUE, 30)


def _profile_with_red_and_blue_swapped() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")


@pytest.mark.parametrize("source", ["tiff", "jpg"])
@pytest.mark.parametrize("target", ["png", "webp", "jpg", "bmp", "jp2"])
async def test_cmyk_when_converted_for_the_screen_then_colours_are_as_seen(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    path = tmp_path / f"print.{source}"
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(path, PILLOW_SOURCES[source])

    products = await run_job(pictures, path, source, target)

    made = opened(products[0].path)
    red, green, blue = colour_at(made, 0.5, 0.5)
    assert made.mode == "RGB"
    assert red > 150
    assert max(green, blue) < 90


@pytest.mark.parametrize(("source", "target"), [("gif", "webp"), ("webp", "gif"), ("gif", "gif")])
@pytest.mark.parametrize("options", [{}, {"width": 30}, {"width": 20, "height": 20, "fit": "cover"}])
async def test_animation_when_the_target_can_move_then_every_frame_and_its_time_are_kept(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str, options: dict[str, Any]
) -> None:
    path = animation(tmp_path / f"a.{source}", **({"lossless": True} if source == "webp" else {}))

    products = await run_job(pictures, path, source, target, **options)

    with Image.open(products[0].path) as made:
        assert getattr(made, "n_frames", 1) == 3
        wanted = {0: (60, 40), 1: (30, 20), 3: (20, 20)}[len(options)]
        for frame, colour, duration_ms in zip(range(3), (RED, GREEN, BLUE), (100, 200, 300), strict=True):
            made.seek(frame)
            made.load()
            assert made.size == wanted
            assert is_near(colour_at(made, 0.5, 0.5), colour, 16)
            assert made.info["duration"] == duration_ms


async def test_animation_when_the_target_stands_still_then_the_first_frame(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    told: list[str] = []

    products = await run_job(pictures, animation(tmp_path / "a.gif"), "gif", "png", note=told.append)

    assert is_near(colour_at(opened(products[0].path), 0.5, 0.5), RED)
    assert told == ["Only one of 3 pages or frames was converted; the option page selects another"]


async def test_page_when_chosen_then_just_that_frame(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif")

    products = await run_job(pictures, path, "gif", "webp", page=3)

    made = opened(products[0].path)
    assert getattr(made, "n_frames", 1) == 1
    assert is_near(colour_at(made, 0.5, 0.5), BLUE)
    with pytest.raises(BadOptions, match="page: 4 was asked for, but the picture has 3 pages"):
        await run_job(pictures, path, "gif", "webp", page=4)


async def test_tiff_when_it_has_several_pages_then_the_first_one_or_the_chosen_one(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    Image.new("RGB", (30, 30), RED).save(
        tmp_path / "scan.tiff", save_all=True, append_images=[Image.new("RGB", (20, 20), BLUE)]
    )

    first = await run_job(pictures, tmp_path / "scan.tiff", "tiff", "png")
    second = await run_job(pictures, tmp_path / "scan.tiff", "tiff", "png", page=2)

    assert opened(first[0].path).size == (30, 30)
    assert opened(second[0].path).size == (20, 20)


async def test_icon_when_it_has_several_sizes_then_the_largest(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    marked((256, 256)).save(tmp_path / "a.ico", sizes=[(16, 16), (64, 64), (256, 256)])

    products = await run_job(pictures, tmp_path / "a.ico", "ico", "png")

    assert opened(products[0].path).size == (256, 256)


@pytest.mark.parametrize("target", ["jpg", "webp", "gif", "avif", "png", "bmp", "tiff", "jp2"])
async def test_sixteen_bits_when_converted_then_brightness_is_kept(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.new("I;16", (20, 20), 0x8000).save(tmp_path / "deep.png")

    made = opened((await run_job(pictures, tmp_path / "deep.png", "png", target))[0].path)

    value = made.getpixel((10, 10)) if made.mode.startswith("I") else colour_at(made, 0.5, 0.5)[0]
    assert isinstance(value, int)
    assert abs((value >> 8 if value > 255 else value) - 128) <= 6


@pytest.mark.parametrize("source", ["png", "tiff"])
@pytest.mark.parametrize("target", ["png", "tiff", "jp2", "jxl"])
async def test_sixteen_bits_when_the_target_can_hold_them_then_every_step_is_kept(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    steps = Image.new("I;16", (64, 64))
    steps.putdata([0x4000 + value for value in range(64 * 64)])
    steps.save(tmp_path / f"deep.{source}")

    products = await run_job(pictures, tmp_path / f"deep.{source}", source, target, **LOSSLESS.get(target, {}))

    path = products[0].path
    made = drawn_by_ffmpeg(path) if target == "jxl" else opened(path)
    assert len(set(made.tobytes()[index : index + 2] for index in range(0, 64 * 64 * 2, 2))) > 2000


LOSSLESS: dict[str, dict[str, Any]] = {"jp2": {"lossless": True}, "jxl": {"lossless": True}}


@pytest.mark.parametrize("target", [*TARGETS, "jxl", "heic", "ico"])
async def test_strip_when_the_photo_tells_its_place_then_it_is_gone_and_colours_stay(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)
    marked((64, 64)).save(tmp_path / "a.jpg", exif=exif, quality=95)

    (product,) = await run_job(pictures, tmp_path / "a.jpg", "jpg", target, strip=True)

    assert b"Camera maker" not in product.path.read_bytes()
    if target not in {"jxl", "heic"}:
        assert not opened(product.path).getexif().get_ifd(0x8825)
        assert is_near(colour_at(opened(product.path), 0.25, 0.25), RED, 30)


async def test_png_when_it_is_animated_then_its_first_picture_and_the_loss_is_told(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    (product,) = await run_job(pictures, animation(tmp_path / "a.png"), "png", "webp")

    assert is_near(colour_at(opened(product.path), 0.5, 0.5), RED)
    told = [loss.text for loss in pictures.losses if loss.concerns("png", "webp")]
    assert any("animated PNG" in text for text in told)


BAD_OPTIONS = [
    {"quality": 101},
    {"width": 0},
    {"width": 20_000},
    {"fit": "squeeze"},
    {"background": "white"},
    {"strip": "yes"},
    {"page": 0},
    {"page": 2},
    {"width": 16_384, "height": 16_384, "fit": "fill", "enlarge": True},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
async def test_options_when_they_do_not_fit_then_bad_options(
    pictures: Pictures, run_job: RunJob, png: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(BadOptions):
        await run_job(pictures, png, "png", "png", **options)


def lying_png(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a huge size and holds nearly nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return path


async def test_picture_when_it_claims_too_many_pixels_then_refused_before_any_is_read(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    source = lying_png(tmp_path / "lie.png", 65_000, 65_000)

    with pytest.raises(SourceTooLarge, match="65000 × 65000 pixels; 100 million"):
        await run_job(pictures, source, "png", "webp", limits=Limits(wall_s=10, cpu_s=2))


async def test_svg_when_it_claims_a_huge_size_then_refused_before_it_is_drawn(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    path = tmp_path / "huge.svg"
    path.write_text(SVG.replace('width="120" height="80"', 'width="90000" height="90000"', 1))

    with pytest.raises(SourceTooLarge):
        await run_job(pictures, path, "svg", "png", limits=Limits(wall_s=10, cpu_s=2))


async def test_animation_when_it_has_too_many_frames_then_too_large(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    with pytest.raises(SourceTooLarge, match="3 frames; 2 are allowed"):
        await run_job(pictures, animation(tmp_path / "a.gif"), "gif", "webp", limits=Limits(pages=2))


async def test_webp_when_the_picture_is_too_long_for_it_then_the_advice_is_to_resize(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    Image.new("RGB", (17_000, 10), RED).save(tmp_path / "long.png")

    with pytest.raises(SourceTooLarge, match="webp pictures have at most 16383 pixels per side"):
        await run_job(pictures, tmp_path / "long.png", "png", "webp")
    assert opened((await run_job(pictures, tmp_path / "long.png", "png", "webp", width=5000))[0].path).width == 5000


@pytest.mark.parametrize("source", ["png", "jpg", "webp", "gif", "tiff", "avif", "bmp", "tga", "jp2"])
async def test_picture_when_cut_off_then_corrupt_and_the_next_one_converts(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, png: Path, source: str
) -> None:
    """I13: a truncated picture fails clearly, and the next file converts."""
    whole = tmp_path / f"whole.{source}"
    Image.merge("RGB", [Image.effect_noise((200, 200), 60) for _ in range(3)]).save(whole, PILLOW_SOURCES[source])
    cut = tmp_path / f"cut.{source}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(CorruptSource):
        await run_job(pictures, cut, source, "png")
    assert await run_job(pictures, png, "png", "webp")


@pytest.mark.parametrize("reference", ["file:///etc/hostname", "secret.png"])
async def test_svg_when_it_refers_to_other_files_then_nothing_of_them_is_drawn(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, reference: str
) -> None:
    Image.new("RGB", (50, 50), RED).save(tmp_path / "secret.png")
    path = tmp_path / "a.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="50" height="50">'
        f'<image width="50" height="50" xlink:href="{reference}"/></svg>'
    )

    products = await run_job(pictures, path, "svg", "jpg")

    assert is_near(colour_at(opened(products[0].path), 0.5, 0.5), WHITE)


@pytest.mark.parametrize("name", ["href", "css", "import", "entity", "include"])
async def test_svg_when_it_refers_to_the_network_then_nobody_is_asked(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, name: str
) -> None:
    hits: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/a.png"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /control HTTP/1.0\r\n\r\n")
        await reader.read()
        (tmp_path / "a.svg").write_text(REACHING[name].format(url=url))
        with contextlib.suppress(CorruptSource):
            await run_job(pictures, tmp_path / "a.svg", "svg", "png")
    assert hits == ["GET /control HTTP/1.0\r\n"]


_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="50" height="50">'
REACHING = {
    "href": _OPEN + '<image width="50" height="50" xlink:href="{url}"/></svg>',
    "css": _OPEN + '<rect width="50" height="50" style="fill:url({url})"/></svg>',
    "import": _OPEN + '<style>@import "{url}";</style><rect width="9" height="9"/></svg>',
    "entity": '<!DOCTYPE svg [<!ENTITY x SYSTEM "{url}">]>' + _OPEN + "<text>&x;</text></svg>",
    "include": _OPEN + '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{url}" parse="text"/></svg>',
}


async def test_svg_when_it_includes_a_foreign_file_then_none_of_it_is_drawn(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    text = _OPEN + '<text x="0" y="20" font-size="20">{}</text></svg>'
    (tmp_path / "a.svg").write_text(text.format(include))
    (tmp_path / "b.svg").write_text(text.format(""))

    including = await run_job(pictures, tmp_path / "a.svg", "svg", "png")
    empty = await run_job(pictures, tmp_path / "b.svg", "svg", "png")

    assert opened(including[0].path).tobytes() == opened(empty[0].path).tobytes()


@pytest.mark.parametrize(
    "disguise", ["<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "%!PS-Adobe-3.0"]
)
async def test_picture_when_its_content_needs_another_loader_then_it_is_not_opened(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, disguise: str
) -> None:
    """Only the loader of the format that was told is open; all unsafe ones else are blocked."""
    path = tmp_path / "a"
    path.write_text(disguise)

    with pytest.raises(CorruptSource):
        await run_job(pictures, path, "png", "jpg")
    with pytest.raises(CorruptSource):
        await run_job(pictures, path, "bmp", "jpg")


async def test_standby_when_pictures_follow_each_other_then_each_has_a_fresh_process_and_an_empty_folder(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    """Hostile content of one job never meets the content of another."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    started: list[Child] = []
    pictures = _watched_pictures(sandbox, scratch, started)

    for _ in range(3):
        await run_job(pictures, png, "png", "webp")
    await pictures.aclose()

    assert len({child.pid for child in started}) == 4
    assert not any(child.is_alive for child in started)
    assert list(scratch.iterdir()) == []


async def test_standby_when_the_waiting_process_was_killed_then_the_next_picture_converts(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    started: list[Child] = []
    pictures = _watched_pictures(sandbox, tmp_path, started)
    await run_job(pictures, png, "png", "webp")
    await until(lambda: len(started) == 2)
    os.killpg(started[1].pid, signal.SIGKILL)
    await until(lambda: not started[1].is_alive)

    products = await run_job(pictures, png, "png", "jpg")
    await pictures.aclose()

    assert opened(products[0].path).size == (120, 80)


async def test_standby_when_a_job_has_other_limits_then_it_gets_a_process_with_those(
    sandbox: Sandbox, run_job: RunJob, png: Path, tmp_path: Path
) -> None:
    started: list[Child] = []
    pictures = _watched_pictures(sandbox, tmp_path, started)
    await run_job(pictures, png, "png", "tiff")

    with pytest.raises(EngineError):
        await run_job(pictures, png, "png", "tiff", limits=Limits(file_bytes=64))
    await pictures.aclose()


async def test_picture_when_the_job_is_cancelled_then_its_process_ends_with_it(
    sandbox: Sandbox, run_job: RunJob, tmp_path: Path
) -> None:
    Image.effect_noise((3000, 3000), 60).save(tmp_path / "large.png", compress_level=1)
    started: list[Child] = []
    told = asyncio.Event()
    pictures = _watched_pictures(sandbox, tmp_path, started)
    job = asyncio.create_task(run_job(pictures, tmp_path / "large.png", "png", "avif", report=lambda *_: told.set()))
    await asyncio.wait_for(told.wait(), 20)

    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert not started[0].is_alive
    await pictures.aclose()


def _watched_pictures(sandbox: Sandbox, scratch: Path, started: list[Child]) -> Pictures:
    class Watched(Sandbox):
        async def start(self, argv: Sequence[str], **how: Any) -> Child:
            child = await super().start(argv, **how)
            started.append(child)
            return child

    return Pictures(Watched(sandbox.name), scratch=scratch)


async def test_version_when_installed_then_named_and_formats_are_those_of_the_library(sandbox: Sandbox) -> None:
    pictures = Pictures(sandbox)

    version = await pictures.version()

    assert version is not None
    assert version.startswith("8.")
    assert set(TARGETS) <= set(pictures.targets)
    assert {"svg", "heic", "jp2"} <= set(pictures.sources)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("hostile_made/bomb_50000x50000.png", SourceTooLarge),
        ("hostile_made/lie_65000x65000.png", SourceTooLarge),
        ("hostile_made/huge_dim.svg", SourceTooLarge),
        ("hostile_made/truncated_half.png", CorruptSource),
        ("hostile_made/xxe.svg", CorruptSource),
        ("hostile_made/zero.png", CorruptSource),
        ("hostile_found/libvips__truncated.jpg", CorruptSource),
        ("hostile_found/libvips__invalid_multiframe.gif", CorruptSource),
    ],
)
async def test_picture_when_hostile_then_a_clear_error(
    pictures: Pictures, run_job: RunJob, corpus: Path, name: str, error: type[Exception]
) -> None:
    """I13: hostile pictures fail clearly."""
    with pytest.raises(error):
        await run_job(pictures, corpus / name, name.rpartition(".")[2], "webp")


@pytest.mark.corpus
async def test_svg_when_it_draws_for_ever_then_it_costs_its_limit_only(
    pictures: Pictures, run_job: RunJob, corpus: Path
) -> None:
    with pytest.raises((LimitExceeded, EngineTimeout)):
        await run_job(
            pictures, corpus / "hostile_made/slow_filter.svg", "svg", "png", limits=Limits(wall_s=10, cpu_s=2)
        )


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["libvips__ojpeg-strip.tif", "libvips__ojpeg-tile.tif"])
async def test_tiff_when_packed_with_the_jpeg_of_1992_then_it_converts(
    pictures: Pictures, run_job: RunJob, corpus: Path, name: str
) -> None:
    (product,) = await run_job(pictures, corpus / "images" / name, "tiff", "png")

    with Image.open(corpus / "images" / name) as original:
        assert opened(product.path).size == original.size
        assert is_near(colour_at(opened(product.path), 0.5, 0.5), colour_at(original, 0.5, 0.5), 2)


@pytest.mark.corpus
async def test_picture_when_from_the_corpus_then_size_is_what_pillow_sees(
    pictures: Pictures, run_job: RunJob, corpus: Path
) -> None:
    checked = 0
    for source in sorted((corpus / "images").iterdir()):
        format_name = {"tif": "tiff", "jpeg": "jpg"}.get(source.suffix[1:], source.suffix[1:])
        if format_name not in pictures.sources:
            continue
        try:
            products = await run_job(pictures, source, format_name, "jpg", quality=50)
        except (CorruptSource, EngineError):
            continue  # some of these are broken on purpose
        made = opened(products[0].path)
        if format_name not in {"svg", "heic", "avif", "psd", "ico"}:
            with Image.open(source) as original:
                turned = original.getexif().get(0x0112, 1) >= 5
                assert made.size == (original.size[::-1] if turned else original.size), source.name
        checked += 1
    assert checked >= 24
