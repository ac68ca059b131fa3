"""Options of a picture: size, quality, background, page, metadata and colours (behaviour M11)."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from converto_core.errors import BadOptions
from converto_engines.pictures.pictures import Pictures
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import (
    BLUE,
    GREEN,
    PILLOW_SOURCES,
    RED,
    SVG,
    TARGETS,
    WHITE,
    animation,
    colour_at,
    drawn_by_ffmpeg,
    is_near,
    marked,
    opened,
)

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
async def test_size_follows_fit_and_enlarges_only_on_request(
    pictures: Pictures, run_job: RunJob, png: Path, options: dict[str, Any], size: tuple[int, int]
) -> None:
    products = await run_job(pictures, png, "png", "png", **options)

    assert opened(products[0].path).size == size


async def test_cover_keeps_the_middle(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    stripes = Image.new("RGB", (300, 100), RED)
    stripes.paste(GREEN, (100, 0, 200, 100))
    stripes.save(tmp_path / "stripes.png")

    products = await run_job(pictures, tmp_path / "stripes.png", "png", "png", width=50, height=50, fit="cover")

    result = opened(products[0].path)
    assert is_near(colour_at(result, 0.1, 0.5), GREEN)
    assert is_near(colour_at(result, 0.9, 0.5), GREEN)


async def test_svg_is_drawn_sharp_at_the_chosen_size(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text(SVG)

    products = await run_job(pictures, path, "svg", "png", width=1200)

    result = opened(products[0].path).convert("RGB")
    assert result.size == (1200, 800)
    assert result.getpixel((596, 100)) == RED
    assert result.getpixel((604, 100)) == BLUE


@pytest.mark.parametrize("target", ["jpg", "webp", "avif", "heic", "jp2", "jxl"])
async def test_lower_quality_makes_a_smaller_file(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.effect_noise((256, 256), 60).convert("RGB").save(tmp_path / "noise.png")

    poor = await run_job(pictures, tmp_path / "noise.png", "png", target, quality=10)
    fine = await run_job(pictures, tmp_path / "noise.png", "png", target, quality=95)

    assert poor[0].path.stat().st_size < fine[0].path.stat().st_size / 2


@pytest.mark.parametrize(("target", "tolerance"), [("webp", 0), ("avif", 4), ("jp2", 0), ("jxl", 0)])
async def test_lossless_keeps_every_pixel(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str, tolerance: int
) -> None:
    source = Image.merge("RGB", [Image.effect_noise((64, 64), 60) for _ in range(3)])
    source.save(tmp_path / "noise.png")

    products = await run_job(pictures, tmp_path / "noise.png", "png", target, lossless=True)

    result = (drawn_by_ffmpeg if target == "jxl" else opened)(products[0].path).convert("RGB")
    assert all(is_near(one, two, tolerance) for one, two in zip(_pixels(result), _pixels(source), strict=True))


def _pixels(picture: Image.Image) -> list[tuple[int, ...]]:
    content = picture.convert("RGB").tobytes()
    return [tuple(content[start : start + 3]) for start in range(0, len(content), 3)]


async def test_lossless_jpeg_is_refused(pictures: Pictures, run_job: RunJob, png: Path) -> None:
    with pytest.raises(BadOptions, match="JPEG is always lossy"):
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
async def test_background_fills_transparent_parts(
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

    result = opened(products[0].path)
    assert result.mode == "RGB"
    assert is_near(colour_at(result, 0.1, 0.5), RED)
    assert is_near(colour_at(result, 0.9, 0.5), expected)


@pytest.mark.parametrize("target", ["png", "webp", "avif", "tiff", "gif", "jp2", "jxl", "heic"])
async def test_transparency_is_kept_where_supported(
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
async def test_rotated_picture_becomes_upright(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    marked().save(tmp_path / "turned.jpg", exif=exif, quality=95)

    products = await run_job(pictures, tmp_path / "turned.jpg", "jpg", target, **options)

    result = opened(products[0].path)
    assert result.size == ((40, 60) if options.get("width") else (80, 120))
    assert is_near(colour_at(result, 0.75, 0.2), RED, 30)
    assert is_near(colour_at(result, 0.25, 0.2), BLUE, 30)
    assert result.getexif().get(0x0112, 1) == 1


async def test_metadata_is_stripped_only_on_request(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    marked().save(tmp_path / "a.jpg", exif=exif)

    kept = await run_job(pictures, tmp_path / "a.jpg", "jpg", "jpg")
    stripped = await run_job(pictures, tmp_path / "a.jpg", "jpg", "jpg", strip=True)

    assert opened(kept[0].path).getexif().get(0x010F) == "Camera maker"
    assert 0x010F not in opened(stripped[0].path).getexif()


async def test_strip_converts_profile_colours_to_srgb(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
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
async def test_cmyk_converts_to_the_visible_colours(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    path = tmp_path / f"print.{source}"
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(path, PILLOW_SOURCES[source])

    products = await run_job(pictures, path, source, target)

    result = opened(products[0].path)
    red, green, blue = colour_at(result, 0.5, 0.5)
    assert result.mode == "RGB"
    assert red > 150
    assert max(green, blue) < 90


@pytest.mark.parametrize(("source", "target"), [("gif", "webp"), ("webp", "gif"), ("gif", "gif")])
@pytest.mark.parametrize("options", [{}, {"width": 30}, {"width": 20, "height": 20, "fit": "cover"}])
async def test_animation_keeps_every_frame_and_its_duration(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str, options: dict[str, Any]
) -> None:
    path = animation(tmp_path / f"a.{source}", **({"lossless": True} if source == "webp" else {}))

    products = await run_job(pictures, path, source, target, **options)

    with Image.open(products[0].path) as result:
        assert getattr(result, "n_frames", 1) == 3
        wanted = {0: (60, 40), 1: (30, 20), 3: (20, 20)}[len(options)]
        for frame, colour, duration_ms in zip(range(3), (RED, GREEN, BLUE), (100, 200, 300), strict=True):
            result.seek(frame)
            result.load()
            assert result.size == wanted
            assert is_near(colour_at(result, 0.5, 0.5), colour, 16)
            assert result.info["duration"] == duration_ms


async def test_still_target_takes_the_first_frame(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []

    products = await run_job(pictures, animation(tmp_path / "a.gif"), "gif", "png", note=notes.append)

    assert is_near(colour_at(opened(products[0].path), 0.5, 0.5), RED)
    assert notes == ["Only frame 1 of 3 was converted; the option page selects another"]


async def test_chosen_frame_is_converted(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif")

    products = await run_job(pictures, path, "gif", "webp", page=3)

    result = opened(products[0].path)
    assert getattr(result, "n_frames", 1) == 1
    assert is_near(colour_at(result, 0.5, 0.5), BLUE)
    with pytest.raises(BadOptions, match="page: the picture has only 3 pages, not 4"):
        await run_job(pictures, path, "gif", "webp", page=4)


async def test_first_or_chosen_tiff_page_is_converted(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), RED).save(
        tmp_path / "scan.tiff", save_all=True, append_images=[Image.new("RGB", (20, 20), BLUE)]
    )

    first = await run_job(pictures, tmp_path / "scan.tiff", "tiff", "png")
    second = await run_job(pictures, tmp_path / "scan.tiff", "tiff", "png", page=2)

    assert opened(first[0].path).size == (30, 30)
    assert opened(second[0].path).size == (20, 20)


async def test_largest_size_of_an_icon_is_converted(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    marked((256, 256)).save(tmp_path / "a.ico", sizes=[(16, 16), (64, 64), (256, 256)])

    products = await run_job(pictures, tmp_path / "a.ico", "ico", "png")

    assert opened(products[0].path).size == (256, 256)


@pytest.mark.parametrize("target", ["jpg", "webp", "gif", "avif", "png", "bmp", "tiff", "jp2"])
async def test_sixteen_bits_keep_their_brightness(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, target: str
) -> None:
    Image.new("I;16", (20, 20), 0x8000).save(tmp_path / "deep.png")

    result = opened((await run_job(pictures, tmp_path / "deep.png", "png", target))[0].path)

    value = result.getpixel((10, 10)) if result.mode.startswith("I") else colour_at(result, 0.5, 0.5)[0]
    assert isinstance(value, int)
    assert abs((value >> 8 if value > 255 else value) - 128) <= 6


@pytest.mark.parametrize("source", ["png", "tiff"])
@pytest.mark.parametrize("target", ["png", "tiff", "jp2", "jxl"])
async def test_sixteen_bits_keep_every_step_where_supported(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, source: str, target: str
) -> None:
    steps = Image.new("I;16", (64, 64))
    steps.putdata([0x4000 + value for value in range(64 * 64)])
    steps.save(tmp_path / f"deep.{source}")

    products = await run_job(pictures, tmp_path / f"deep.{source}", source, target, **LOSSLESS.get(target, {}))

    path = products[0].path
    result = drawn_by_ffmpeg(path) if target == "jxl" else opened(path)
    assert len(set(result.tobytes()[index : index + 2] for index in range(0, 64 * 64 * 2, 2))) > 2000


LOSSLESS: dict[str, dict[str, Any]] = {"jp2": {"lossless": True}, "jxl": {"lossless": True}}


@pytest.mark.parametrize("target", [*TARGETS, "jxl", "heic", "ico"])
async def test_strip_removes_the_location_and_keeps_colours(
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


async def test_still_of_an_animated_png_is_its_first_picture(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    """The loss is declared for still targets only."""
    (product,) = await run_job(pictures, animation(tmp_path / "a.png"), "png", "tiff")

    assert is_near(colour_at(opened(product.path), 0.5, 0.5), RED)
    told = {
        target: any("animated PNG" in loss.text for loss in pictures.losses if loss.concerns("png", target))
        for target in ("tiff", "webp", "gif")
    }
    assert told == {"tiff": True, "webp": False, "gif": False}


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
async def test_bad_options_are_refused(pictures: Pictures, run_job: RunJob, png: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadOptions):
        await run_job(pictures, png, "png", "png", **options)
