"""Puts a JPEG on a PDF page of its own shape and verifies the PDF.

Request: `source`, `output`, `packages`, `dpi`. Answer: `pages`, `objects`.
"""

import sys
from typing import Any

from converto_engines.runtime.sandboxed.protocol import serve_argument

POINTS_PER_INCH = 72
MAX_SIDE_POINTS = 14_400  # limit of PDF readers


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the PDF and return its number of pages and objects."""
    sys.path[:0] = request["packages"]
    import pypdfium2  # noqa: PLC0415 -- importable only once `packages` are on the path

    document = pypdfium2.PdfDocument.new()
    picture = pypdfium2.PdfImage.new(document)
    picture.load_jpeg(request["source"], inline=True)
    width, height = picture.get_px_size()
    scale = min(POINTS_PER_INCH / request["dpi"], MAX_SIDE_POINTS / max(width, height))
    page = document.new_page(width * scale, height * scale)
    picture.set_matrix(pypdfium2.PdfMatrix().scale(width * scale, height * scale))
    page.insert_obj(picture)
    page.gen_content()
    document.save(request["output"])

    written = pypdfium2.PdfDocument(request["output"])
    written[0].render(scale=64 / max(written[0].get_size()))  # raises when the page cannot be drawn
    return {"pages": len(written), "objects": sum(1 for _ in written[0].get_objects())}


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
