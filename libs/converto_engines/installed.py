"""The one list of converters that this code base has. It knows which there are, not what they do."""

from collections.abc import Sequence
from pathlib import Path

from converto_engines.converter import Converter
from converto_engines.images import Pictures
from converto_engines.libreoffice import LibreOffice
from converto_engines.pdf import PdfPages
from converto_engines.pdf_document import PdfDocument
from converto_engines.pdf_drawing import PdfDrawings
from converto_engines.pdf_text import PdfText
from converto_engines.picture_pdf import PicturePage
from converto_engines.process import Sandbox


def build_converters(sandbox: Sandbox, families: Sequence[str] = (), *, scratch: Path | None = None) -> list[Converter]:
    """A new instance of every converter, of these families only when some are named. Nothing is started yet.

    `scratch` is a folder that the caller wipes, also after a crash; None: the system's temporary folder.
    """
    pictures = Pictures(sandbox, scratch=scratch)
    converters: list[Converter] = [
        LibreOffice(sandbox),
        PdfPages(sandbox, scratch=scratch),
        PdfDocument(sandbox),
        PdfDrawings(sandbox),
        PdfText(sandbox),
        pictures,
        PicturePage(sandbox, pictures),
    ]
    return [converter for converter in converters if not families or converter.family in families]
