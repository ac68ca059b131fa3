"""Brings fonts in colour into PDFs, which LibreOffice can do since version 7.5 only.

Older ones leave out the glyphs of such fonts, and with them the text. So they get copies of these fonts with blank
glyphs (`blank_fonts.py`), which they write with text and widths; then pictures take the place of the blank glyphs
(`colour_glyphs.py`).
"""

import subprocess
import sys
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

BLANK = "BlankGlyphs-"
"""How the PostScript names of the copies begin; the rest is the name of the font."""
_LIST = ("fc-list", r"--format=%{postscriptname}\t%{file}\n", ":color=true")


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Make the copies, or draw into a PDF when the request names a `source`."""
    sys.path[:0] = request["packages"]
    try:
        from converto_engines.office.sandboxed import blank_fonts, colour_glyphs  # noqa: PLC0415 -- needs the path
    except ImportError as error:
        raise Refused("missing", "fontTools, qpdf or pillow is not installed on this worker") from error
    fonts = _fonts_in_colour()
    if "source" in request:
        return {"undrawn": colour_glyphs.draw(request["source"], request["output"], fonts)}
    return {"fonts": blank_fonts.make(request["folder"], fonts)}


def _fonts_in_colour() -> dict[str, str]:
    """Return the path of each installed font in colour by its PostScript name."""
    listed = subprocess.run(_LIST, capture_output=True, check=True).stdout.decode()
    return {name: path for name, _, path in (line.partition("\t") for line in listed.splitlines()) if name and path}


def main() -> None:
    """Serve one request."""
    serve_argument(serve)
