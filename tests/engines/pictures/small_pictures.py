"""Small pictures made by Pillow, and how the tests look at results."""

import io
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

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


def animation(path: Path, **more: Any) -> Path:
    frames = [Image.new("RGB", (60, 40), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0, **more)
    return path


def drawn_by_ffmpeg(path: Path) -> Image.Image:
    """A picture in a format that Pillow does not read."""
    argv = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "image2pipe", "-c:v", "png", "-"]
    return Image.open(io.BytesIO(subprocess.run(argv, check=True, capture_output=True).stdout))
