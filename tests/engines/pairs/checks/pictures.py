"""Looks at pictures with Pillow; at HEIC and SVG with the command `vips`, at JPEG XL with ffmpeg."""

import io
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pypdfium2
from PIL import Image, ImageChops, ImageSequence, ImageStat

from tests.engines.pairs.pair import Fault, Result, apart, unlike
from tests.engines.pictures.small_pictures import BLUE, GREEN, RED, TARGETS, WHITE, drawn_by_ffmpeg

Rgba = tuple[int, ...]
CLEAR = (0, 0, 0, 0)
MARKED, FRAME, FILM = (120, 80), (60, 40), (96, 64)
"""Width and height in pixels of the marked picture, of a frame of the animation, of a film."""
PREVIEW = (1280, 960)
_COLOURS = (RED, GREEN, BLUE)
_DURATIONS_MS = (100, 200, 300)
_NAMES = {**TARGETS, "ico": "ICO"}
_NEAR = 40
_POINTS_A_PIXEL = 72 / 96
_HIDDEN, _OPAQUE = 8, 247


def opened(path: Path, kind: str) -> list[Image.Image]:
    """All frames or pages as RGBA, with `duration` in `info`; `Fault` when the file has another format."""
    if kind == "jxl":
        if not path.read_bytes().startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
            raise Fault("no JPEG XL file")
        return [drawn_by_ffmpeg(path).convert("RGBA")]
    if kind == "heic":
        if path.read_bytes()[4:12] != b"ftypheic":
            raise Fault("no HEIC file")
        return [by_vips(path)]
    with Image.open(path) as picture:
        if picture.format != _NAMES[kind]:
            raise Fault(f"the file is {picture.format} instead of {_NAMES[kind]}")
        return [_copied(frame) for frame in ImageSequence.Iterator(picture)]


def by_vips(path: Path) -> Image.Image:
    """A picture as the command `vips` reads it, in RGBA."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.png"
        run = subprocess.run(["vips", "copy", str(path), str(copy)], check=False, capture_output=True, timeout=60)
        if run.returncode:
            raise Fault(f"vips cannot read it: {run.stderr.decode().strip()}")
        with Image.open(copy) as picture:
            return picture.convert("RGBA")


def shows(picture: Image.Image, size: tuple[int, int], colours: dict[tuple[float, float], Rgba]) -> Iterator[str]:
    """Yield how a picture differs; places are parts of width and height."""
    yield from unlike("size", picture.size, size)
    for (x, y), right in colours.items():
        pixel = picture.getpixel((int(x * picture.width), int(y * picture.height)))
        assert isinstance(pixel, tuple)
        if not _is_near(pixel, right):
            yield f"colour at {x:g}, {y:g}: {pixel} instead of {right}"


def marked(result: Result, corner: Rgba = BLUE) -> Iterator[str]:
    """The whole marked picture; `corner` is the lower right quarter."""
    frames = opened(result.path, result.pair.target)
    yield from unlike("frames", len(frames), 1)
    yield from shows(frames[0], MARKED, _marked(corner))


def marked_icon(result: Result, corner: Rgba = BLUE) -> Iterator[str]:
    """The marked picture in the middle of a transparent square of the same width; drawings get the largest icon."""
    (icon,) = opened(result.path, "ico")
    side = 256 if result.pair.sample.format == "svg" else MARKED[0]
    places = {(x, 1 / 6 + y * 2 / 3): colour for (x, y), colour in _marked(corner).items()}
    yield from shows(icon, (side, side), {**places, (0.5, 0.05): CLEAR, (0.5, 0.95): CLEAR})


def marked_page(result: Result, corner: Rgba = BLUE) -> Iterator[str]:
    """The marked picture on a page of its size at 96 dots per inch."""
    (page,) = pages_of(result.path, 1)
    yield from shows(page, MARKED, _marked(corner))


def moving(result: Result) -> Iterator[str]:
    """All frames of the animation for as long as in the source."""
    frames = opened(result.path, result.pair.target)
    yield from unlike("frames", len(frames), len(_COLOURS))
    yield from unlike("durations", tuple(frame.info["duration"] for frame in frames), _DURATIONS_MS)
    for frame, colour in zip(frames, _COLOURS, strict=False):
        yield from shows(frame, FRAME, {(0.5, 0.5): colour})


def first_frame(result: Result, size: tuple[int, int] = FRAME) -> Iterator[str]:
    """The first frame or page alone, which is red; `size` is that of the source."""
    frames = opened(result.path, result.pair.target)
    yield from unlike("frames", len(frames), 1)
    yield from shows(frames[0], (size[0], size[0]) if result.pair.target == "ico" else size, {(0.5, 0.5): RED})


def first_frame_page(result: Result, size: tuple[int, int] = FRAME) -> Iterator[str]:
    """The first frame, which is red, on a page."""
    (page,) = pages_of(result.path, 1)
    yield from shows(page, size, {(0.5, 0.5): RED})


def all_pages(result: Result) -> Iterator[str]:
    """Every page of the source, in order."""
    is_pdf = result.pair.target == "pdf"
    pages = pages_of(result.path, len(_COLOURS)) if is_pdf else opened(result.path, result.pair.target)
    yield from unlike("pages", len(pages), len(_COLOURS))
    for page, colour in zip(pages, _COLOURS, strict=False):
        yield from shows(page, FRAME, {(0.5, 0.5): colour})


def film_animation(result: Result) -> Iterator[str]:
    """A moving GIF as long as the film: red, then blue."""
    frames = opened(result.path, "gif")
    seconds = sum(frame.info["duration"] for frame in frames) / 1000
    yield from apart("seconds", seconds, 2.0, 0.2)
    if len(frames) < 2:
        yield "it does not move: one frame"
    yield from shows(frames[0], FILM, {(0.5, 0.5): RED})
    yield from shows(frames[-1], FILM, {(0.5, 0.5): BLUE})


def preview(result: Result) -> Iterator[str]:
    """A drawing of a model: it fills a good part of the white picture and is neither pale nor black."""
    (picture,) = opened(result.path, "png")
    yield from unlike("size", picture.size, PREVIEW)
    flat = picture.convert("RGB")
    difference = ImageChops.difference(flat, Image.new("RGB", flat.size, WHITE)).convert("L")
    drawn = difference.point([0] * 8 + [255] * 248)
    share = ImageStat.Stat(drawn).mean[0] / 255
    yield from apart("share of the picture that the model covers", share, 0.35, 0.25)
    if share:
        brightest = max(ImageStat.Stat(flat, drawn).mean)
        yield from apart("mean of its brightest channel", brightest, 150, 95)


def preview_as(result: Result) -> Iterator[str]:
    """The drawing of the same model as PNG, in another format."""
    assert result.beside is not None
    (right,) = opened(result.beside, "png")
    if result.pair.target == "pdf":
        (found,) = pages_of(result.path, 1)
    else:
        (found,) = opened(result.path, result.pair.target)
    if result.pair.target == "ico":
        yield from unlike("size", found.size, (256, 256))
        right = right.resize((256, 192))
        found = found.crop((0, 32, 256, 224))
    else:
        yield from unlike("size", found.size, right.size)
    yield from alike(found, right)


def alike(found: Image.Image, right: Image.Image) -> Iterator[str]:
    """Yield a sentence when two pictures differ at a glance."""
    small = [_on_white(picture).resize((64, 64), Image.Resampling.BOX) for picture in (found, right)]
    difference = sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3
    if difference > 6:
        yield f"it looks different: {difference:.1f} of 255 a pixel"


def pages_of(path: Path, count: int) -> list[Image.Image]:
    """The pages of a PDF at 96 dots per inch; `Fault` when there are not `count`."""
    document = pypdfium2.PdfDocument(path)
    try:
        if len(document) != count:
            raise Fault(f"pages: {len(document)} instead of {count}")
        return [page.render(scale=1 / _POINTS_A_PIXEL).to_pil().convert("RGBA") for page in document]
    finally:
        document.close()


def by_poppler(pdf: Path, page: int, dpi: int) -> Image.Image:
    """A page of a PDF, from 1, as poppler draws it."""
    command = ["pdftocairo", "-png", "-singlefile", "-r", str(dpi), "-f", str(page), str(pdf), "-"]
    drawn = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return Image.open(io.BytesIO(drawn)).convert("RGBA")


def _marked(corner: Rgba) -> dict[tuple[float, float], Rgba]:
    return {(0.25, 0.25): RED, (0.75, 0.25): BLUE, (0.25, 0.75): BLUE, (0.75, 0.75): corner}


def _is_near(pixel: Iterable[int], right: Rgba) -> bool:
    *colour, alpha = pixel
    if len(right) == 4:
        return alpha <= _HIDDEN
    return alpha >= _OPAQUE and all(abs(one - two) <= _NEAR for one, two in zip(colour, right, strict=True))


def _copied(frame: Image.Image) -> Image.Image:
    copy = frame.convert("RGBA")
    copy.info["duration"] = frame.info.get("duration", 0)
    return copy


def _on_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, (*WHITE, 255))
    return Image.alpha_composite(white, picture).convert("RGB")
