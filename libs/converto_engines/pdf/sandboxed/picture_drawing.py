"""Draws a page as a picture inside an SVG drawing, for pages that poppler cannot draw as shapes."""

import base64
import os

from converto_engines.pdf.sandboxed import pdfium
from converto_engines.pictures.sandboxed import libvips
from converto_engines.runtime.sandboxed.protocol import Refused

_DPI = 200
_LONGEST_SIDE = 6000  # pixels; 18 million pixels for a page with the proportions of A4
_POINTS_PER_INCH = 72
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" width="{0:g}pt" height="{1:g}pt" viewBox="0 0 {0:g} {1:g}" '
    'version="1.2">\n<image width="{0:g}" height="{1:g}" preserveAspectRatio="none" '
    'xlink:href="data:image/png;base64,'
)


def write(document: pdfium.Document, page: int, path: str) -> None:
    """Write the drawing of a page, counted from 1, in the size that pdfium reads."""
    inches = document.size(page - 1)
    dpi = min(_DPI, _LONGEST_SIDE / max(inches))
    width, height = (max(round(side * dpi), 1) for side in inches)
    try:
        pixels = document.render(page - 1, width, height)
        vips = libvips.Library()
    except pdfium.PdfError as error:
        raise Refused("corrupt", f"The PDF is damaged: {error}") from error
    except OSError as error:
        raise Refused("missing", "libvips is not installed on this worker") from error
    picture = f"{path}.png"
    vips.from_memory(pixels, width, height).write(picture, "compression=6")
    with open(picture, "rb") as file:  # noqa: PTH123 -- pathlib is slow to import
        content = base64.b64encode(file.read()).decode()
    os.unlink(picture)  # noqa: PTH108
    points = [side * _POINTS_PER_INCH for side in inches]
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f'{_HEAD.format(*points)}{content}"/>\n</svg>\n')
