"""Pictures in every format: opaque, partly transparent, moving, and of several pages."""

import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.engines.pairs.pair import Sample
from tests.engines.pictures.small_pictures import BLUE, GREEN, PILLOW_SOURCES, RED, SVG, animation, marked

CLEAR_SVG = SVG.replace(
    '<rect width="120" height="80" fill="blue"/>', '<path d="M0 0h120v40h-60v40h-60z" fill="blue"/>'
)


def cut_out() -> Image.Image:
    """The marked picture whose lower right quarter is transparent."""
    picture = marked().convert("RGBA")
    picture.paste((0, 0, 0, 0), (60, 40, 120, 80))
    return picture


def saved(picture: Callable[[], Image.Image], kind: str, **options: Any) -> Callable[[Path], None]:
    """A maker that saves a picture with Pillow."""
    return lambda path: picture().save(path, PILLOW_SOURCES[kind], **options)


def by_vips(path: Path) -> None:
    """Write the marked picture in a format that Pillow does not write."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "marked.png"
        marked().save(source)
        subprocess.run(["vips", "copy", str(source), str(path)], check=True, capture_output=True, timeout=60)


def photoshop(path: Path) -> None:
    """Write a .psd without layers: three planes, not compressed."""
    picture = marked()
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, picture.height, picture.width, 8, 3)
    planes = b"".join(plane.tobytes() for plane in picture.split())
    path.write_bytes(head + struct.pack(">IIIH", 0, 0, 0, 0) + planes)


def three_pages(path: Path) -> None:
    """Write a TIFF of a red, a green and a blue page."""
    pages = [Image.new("RGB", (60, 40), colour) for colour in (RED, GREEN, BLUE)]
    pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:])


PICTURES = (
    Sample("png", "png", "cut-out", saved(cut_out, "png")),
    Sample("webp", "webp", "cut-out", saved(cut_out, "webp", lossless=True)),
    Sample("avif", "avif", "cut-out", saved(cut_out, "avif")),
    Sample("tiff", "tiff", "cut-out", saved(cut_out, "tiff")),
    Sample("gif", "gif", "cut-out", saved(cut_out, "gif")),
    Sample("jp2", "jp2", "cut-out", saved(cut_out, "jp2")),
    Sample("ico", "ico", "cut-out", saved(cut_out, "ico", sizes=[(120, 80)])),
    Sample("tga", "tga", "cut-out", saved(cut_out, "tga")),
    Sample("svg", "svg", "cut-out", lambda path: path.write_text(CLEAR_SVG)),
)
OTHER_PICTURES = (
    Sample("jpg", "jpg", "picture", saved(marked, "jpg", quality=95)),
    Sample("bmp", "bmp", "picture", saved(marked, "bmp")),
    Sample("heic", "heic", "picture", by_vips),
    Sample("jxl", "jxl", "picture", by_vips),
    Sample("psd", "psd", "picture", photoshop),
    Sample("gif-moving", "gif", "animation", animation),
    Sample("webp-moving", "webp", "animation", lambda path: animation(path, lossless=True)),
    Sample("png-moving", "png", "animation", animation),
    Sample("tiff-pages", "tiff", "picture pages", three_pages),
)
