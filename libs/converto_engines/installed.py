"""The one list of converters that this code base has. It knows which there are, not what they do."""

from collections.abc import Sequence
from pathlib import Path

from converto_engines.converter import Converter
from converto_engines.images import Pictures
from converto_engines.keynote import Keynote
from converto_engines.libreoffice import LibreOffice
from converto_engines.office_documents import OfficeDocuments, OfficeText
from converto_engines.office_sheets import OfficeSheets, OfficeTable
from converto_engines.office_slides import OfficeSlides
from converto_engines.pdf import PdfPages
from converto_engines.picture_pdf import PicturePage
from converto_engines.process import Sandbox
from converto_engines.warm_office import WarmOffice


def build_converters(sandbox: Sandbox, families: Sequence[str] = (), *, scratch: Path | None = None) -> list[Converter]:
    """A new instance of every converter, of these families only when some are named. Nothing is started yet.

    `scratch` is a folder that the caller wipes, also after a crash; None: the system's temporary folder.
    """
    pictures = Pictures(sandbox, scratch=scratch)
    converters: list[Converter] = [
        *_office(sandbox),
        PdfPages(sandbox),
        pictures,
        PicturePage(sandbox, pictures),
    ]
    return [converter for converter in converters if not families or converter.family in families]


def _office(sandbox: Sandbox) -> list[Converter]:
    """All of them share one LibreOffice, because a slot runs one conversion at a time."""
    office = WarmOffice(sandbox)
    to_pdf = LibreOffice(office)
    rewriting = (OfficeDocuments, OfficeText, OfficeSlides, OfficeSheets, OfficeTable)
    return [to_pdf, Keynote(sandbox, to_pdf), *(kind(sandbox, office) for kind in rewriting)]
