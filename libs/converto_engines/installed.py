"""The list of all converters."""

from collections.abc import Sequence
from pathlib import Path

from converto_engines.converter import Converter
from converto_engines.media.sound import Sound
from converto_engines.media.video import Video
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from converto_engines.models.cad import Cad
from converto_engines.models.meshes import Meshes
from converto_engines.models.preview import ModelPreview
from converto_engines.office.documents import OfficeDocuments, OfficeText
from converto_engines.office.keynote import Keynote
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.sheets import OfficeSheets, OfficeSheetText, OfficeTable
from converto_engines.office.slides import OfficeSlides
from converto_engines.office.warm_office import WarmOffice
from converto_engines.pdf.document import PdfDocument
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.pages import PdfPages
from converto_engines.pdf.text import PdfText
from converto_engines.pictures.pdf_page import PicturePage
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.book import Book
from converto_engines.texts.markdown import Markdown
from converto_engines.texts.page_text import PageText
from converto_engines.texts.subtitles import SrtToVtt, VttToSrt
from converto_engines.texts.tables import CsvToJson, JsonToCsv
from converto_engines.texts.web_page import WebPage


def build_converters(sandbox: Sandbox, families: Sequence[str] = (), *, scratch: Path | None = None) -> list[Converter]:
    """Create every converter, or only those of `families`; no program is started yet.

    `scratch` is a folder that the caller clears, also after a crash; None: the system's temporary folder.
    """
    converters = [
        *_office(sandbox),
        *_pdf(sandbox, scratch),
        *_pictures(sandbox, scratch),
        *_media(sandbox),
        *_models(sandbox, scratch),
        *_texts(sandbox),
    ]
    return [converter for converter in converters if not families or converter.family in families]


def _office(sandbox: Sandbox) -> list[Converter]:
    """They share one LibreOffice, because a slot runs one conversion at a time."""
    office = WarmOffice(sandbox)
    to_pdf = LibreOffice(office)
    rewriting = (OfficeDocuments, OfficeText, OfficeSlides, OfficeSheets, OfficeTable, OfficeSheetText)
    return [to_pdf, Keynote(sandbox, to_pdf), *(kind(sandbox, office) for kind in rewriting)]


def _pdf(sandbox: Sandbox, scratch: Path | None) -> list[Converter]:
    return [PdfPages(sandbox, scratch=scratch), PdfDocument(sandbox), PdfDrawings(sandbox), PdfText(sandbox)]


def _pictures(sandbox: Sandbox, scratch: Path | None) -> list[Converter]:
    pictures = Pictures(sandbox, scratch=scratch)
    return [pictures, PicturePage(sandbox, pictures)]


def _media(sandbox: Sandbox) -> list[Converter]:
    return [Video(sandbox), VideoGif(sandbox), VideoFrame(sandbox), Sound(sandbox)]


def _models(sandbox: Sandbox, scratch: Path | None) -> list[Converter]:
    meshes = Meshes(sandbox)
    cad = Cad(sandbox, meshes, scratch=scratch)
    return [meshes, cad, ModelPreview(sandbox, meshes, cad)]


def _texts(sandbox: Sandbox) -> list[Converter]:
    pages = (WebPage, PageText, Markdown, Book)
    small = (CsvToJson, JsonToCsv, SrtToVtt, VttToSrt)
    return [kind(sandbox) for kind in (*pages, *small)]
