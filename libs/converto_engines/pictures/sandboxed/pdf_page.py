"""Runs in the sandbox: a JPEG becomes a PDF of one page of its shape, and is read back.

It speaks as `protocol.py` says; a request has `source`, `output`, `packages` and `dpi`, an answer `pages` and
`objects`.
"""

import sys
from typing import Any

from converto_engines.runtime.sandboxed.protocol import serve_argument

POINTS_PER_INCH = 72
LONGEST_SIDE_POINTS = 14_400  # what PDF readers accept


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Make the PDF that the request names."""
    sys.path[:0] = request["packages"]
    import pypdfium2  # noqa: PLC0415 - found only after the line above

    document = pypdfium2.PdfDocument.new()
    picture = pypdfium2.PdfImage.new(document)
    picture.load_jpeg(request["source"], inline=True)
    width, height = picture.get_px_size()
    scale = min(POINTS_PER_INCH / request["dpi"], LONGEST_SIDE_POINTS / max(width, height))
    page = document.new_page(width * scale, height * scale)
    picture.set_matrix(pypdfium2.PdfMatrix().scale(width * scale, height * scale))
    page.insert_obj(picture)
    page.gen_content()
    document.save(request["output"])

    made = pypdfium2.PdfDocument(request["output"])
    made[0].render(scale=64 / max(made[0].get_size()))  # raises when the page cannot be drawn
    return {"pages": len(made), "objects": sum(1 for _ in made[0].get_objects())}


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
