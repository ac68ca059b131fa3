"""Keynote to PDF; the files are generated in the two layouts of Keynote, because there are no real samples."""

import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pypdfium2
import pytest

from converto_core.errors import BadSource, ConversionError, CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Converter, Limits
from converto_engines.office.keynote import Keynote
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.slides import OfficeSlides
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.sniffing.sniff import sniff_path
from tests.engines.office.samples import page_texts

Convert = Callable[..., Awaitable[Path]]
OUTLINE = (
    '<?xml version="1.0"?><key:presentation xmlns:sfa="http://developer.apple.com/namespaces/sfa"'
    ' xmlns:sf="http://developer.apple.com/namespaces/sf" xmlns:key="http://developer.apple.com/namespaces/keynote2"'
    ' key:version="92008102400"><key:size sfa:w="800" sfa:h="600"/>{theme}<key:slide-list>{slides}</key:slide-list>'
    "</key:presentation>"
)
SLIDE = (
    '<key:slide sfa:ID="s{number}" key:hidden="{hidden}"><key:page><sf:size sfa:w="800" sfa:h="600"/><sf:layers>'
    '<sf:layer><sf:type><sf:string sfa:string="BGSlideLayerType"/></sf:type><sf:drawables><sf:shape><sf:geometry>'
    '<sf:naturalSize sfa:w="400" sfa:h="100"/><sf:size sfa:w="400" sfa:h="100"/><sf:position sfa:x="50" sfa:y="50"/>'
    '</sf:geometry><sf:text><sf:text-storage sf:kind="textbox"><sf:text-body><sf:p>Keynote slide {number}</sf:p>'
    "</sf:text-body></sf:text-storage></sf:text></sf:shape></sf:drawables></sf:layer></sf:layers></key:page></key:slide>"
)


@pytest.fixture
def keynote(sandbox: Sandbox, to_pdf: LibreOffice) -> Converter:
    return Keynote(sandbox, to_pdf)


def preview(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(800, 600)
    written = io.BytesIO()
    document.save(written)
    document.close()
    return written.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as package:
        for name, content in members.items():
            package.writestr(name, content)
    return path


def outline(hidden: tuple[bool, ...]) -> bytes:
    slides = "".join(
        SLIDE.format(number=number, hidden=str(is_hidden).lower()) for number, is_hidden in enumerate(hidden, 1)
    )
    return OUTLINE.format(theme="", slides=slides).encode()


def of_2009(path: Path, hidden: tuple[bool, ...], preview_pages: int | None) -> Path:
    members = {"index.apxl": outline(hidden)}
    if preview_pages is not None:
        members["QuickLook/Preview.pdf"] = preview(preview_pages)
    return packed(path, members)


def of_today(path: Path, slides: int, preview_pages: int | None) -> Path:
    members = {"Index/Document.iwa": b"\0\1\0\0x", "Index/MasterSlide-1.iwa": b"\0", "Metadata/Properties.plist": b""}
    members |= {f"Index/Slide-{number}.iwa": b"\0\1\0\0x" for number in range(1, slides + 1)}
    if preview_pages is not None:
        members["QuickLook/Preview.pdf"] = preview(preview_pages)
    return packed(path, members)


def pages_of(pdf: Path) -> list[tuple[float, float]]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_size() for page in document]
    finally:
        document.close()


def test_made_file_is_detected_as_keynote(tmp_path: Path) -> None:
    assert sniff_path(of_2009(tmp_path / "a.key", (False,), 1)).format == "key"
    assert sniff_path(of_today(tmp_path / "b.key", 2, 2)).format == "key"


@pytest.mark.parametrize("hidden", [(False, False, False), (False, True, False, False)])
async def test_complete_preview_becomes_the_result(
    convert: Convert, keynote: Converter, tmp_path: Path, hidden: tuple[bool, ...]
) -> None:
    """W11."""
    pdf = await convert(of_2009(tmp_path / "deck.key", hidden, 3), by=keynote)

    assert pages_of(pdf) == [(800, 600)] * 3
    assert page_texts(pdf) == [""] * 3  # the preview, not what LibreOffice makes of the outline


async def test_preview_of_a_newer_file_becomes_the_result(convert: Convert, keynote: Converter, tmp_path: Path) -> None:
    """W11."""
    assert len(pages_of(await convert(of_today(tmp_path / "deck.key", 2, 2), by=keynote))) == 2


@pytest.mark.parametrize("preview_pages", [None, 1])
async def test_unsupported_outline_makes_no_blank_pages(
    convert: Convert, keynote: Converter, tmp_path: Path, preview_pages: int | None
) -> None:
    """LibreOffice opens this outline and shows two empty slides."""
    with pytest.raises(BadSource, match="File > Export To > PDF"):
        await convert(of_2009(tmp_path / "deck.key", (False, False), preview_pages), by=keynote)


@pytest.mark.parametrize("preview_pages", [None, 1])
async def test_newer_file_without_complete_preview_gets_export_advice(
    convert: Convert, keynote: Converter, tmp_path: Path, preview_pages: int | None
) -> None:
    """I13."""
    with pytest.raises(BadSource, match="File > Export To > PDF") as error:
        await convert(of_today(tmp_path / "deck.key", 3, preview_pages), by=keynote)
    assert error.value.stable_code == "source_unsupported"


@pytest.mark.parametrize("year", [2009, 2026])
async def test_unreadable_keynote_to_powerpoint_gets_export_advice(
    convert: Convert, sandbox: Sandbox, warm: WarmOffice, tmp_path: Path, year: int
) -> None:
    path = tmp_path / "deck.key"
    source = of_2009(path, (False, False), None) if year == 2009 else of_today(path, 3, None)

    with pytest.raises(BadSource, match="File > Export To > PDF"):
        await convert(source, "pptx", by=OfficeSlides(sandbox, warm))


async def test_preview_that_is_no_pdf_is_not_returned(convert: Convert, keynote: Converter, tmp_path: Path) -> None:
    source = packed(tmp_path / "deck.key", {"Index/Slide.iwa": b"x", "QuickLook/Preview.pdf": b"%PDF-1.4 cut off"})

    with pytest.raises(BadSource, match="Export To"):
        await convert(source, by=keynote)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
async def test_damaged_source_is_corrupt(convert: Convert, keynote: Converter, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deck.key").write_bytes(content)

    with pytest.raises(CorruptSource):
        await convert(tmp_path / "deck.key", by=keynote)


async def test_package_that_unpacks_to_too_much_is_refused(
    convert: Convert, keynote: Converter, tmp_path: Path
) -> None:
    with pytest.raises(SourceTooLarge, match="unpacks to"):
        await convert(of_2009(tmp_path / "a.key", (False,), 1), by=keynote, limits=Limits(unpacked_bytes=100))


async def test_preview_with_too_many_pages_is_too_large(convert: Convert, keynote: Converter, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="3 pages; at most 2"):
        await convert(of_2009(tmp_path / "a.key", (False,) * 3, 3), by=keynote, limits=Limits(pages=2))


async def test_outline_that_declares_entities_is_refused(convert: Convert, keynote: Converter, tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY x "boom">]>' + outline((False,)).partition(b"?>")[2]

    with pytest.raises(ConversionError):
        await convert(packed(tmp_path / "a.key", {"index.apxl": bomb}), by=keynote)


async def test_member_with_password_is_encrypted_source(convert: Convert, keynote: Converter, tmp_path: Path) -> None:
    source = of_2009(tmp_path / "a.key", (False,), 1).read_bytes()
    entry = source.index(b"PK\x01\x02")
    marked = bytearray(source)
    while entry >= 0:  # the flag for encryption, in each entry of the directory
        marked[entry + 8] |= 1
        entry = source.find(b"PK\x01\x02", entry + 1)
    (tmp_path / "b.key").write_bytes(marked)

    with pytest.raises(EncryptedSource):
        await convert(tmp_path / "b.key", by=keynote)
