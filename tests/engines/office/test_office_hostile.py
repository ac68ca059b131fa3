"""Hostile office files fetch nothing, read no foreign files, run nothing, and end within their limits (I13)."""

import contextlib
import re
import subprocess
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image
from pptx import Presentation

from converto_core.errors import (
    BadSource,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineTimeout,
    SourceTooLarge,
)
from converto_engines.converter import Limits, Product
from converto_engines.office.documents import OfficeDocuments
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.rewriting import OfficeRewriting
from converto_engines.office.sheets import OfficeSheets, OfficeTable
from converto_engines.office.slides import OfficeSlides
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.process_tree import descendants_of
from converto_engines.sniffing.sniff import decide, sniff_path
from tests.engines.canary import Canary
from tests.engines.office.conftest import is_running
from tests.engines.office.samples import deck, letter, page_texts, repacked

RunJob = Callable[..., Awaitable[list[Product]]]
Convert = Callable[..., Awaitable[Path]]


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "hostile_found/tika__protected_normal_case.docx",
        "hostile_found/tika__testWORD_protected_passtika.docx",
        "hostile_found/poi__protected_passtika.xlsx",
        "hostile_found/tika__testEXCEL_protected_passtika_2.xlsx",
    ],
)
async def test_encrypted_source_names_the_password(convert: Convert, corpus: Path, name: str) -> None:
    with pytest.raises(EncryptedSource, match="password"):
        await convert(corpus / name)


@pytest.mark.corpus
async def test_default_password_opens_by_itself(convert: Convert, found: Path) -> None:
    source = found / "poi__protected_agile.docx"
    assert decide(source.name, sniff_path(source)).name == "docx"

    assert page_texts(await convert(source)) == ["Agile protected document"]


@pytest.mark.corpus
async def test_damaged_source_leaves_libreoffice_running(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, corpus: Path, tmp_path: Path
) -> None:
    """I13."""
    # A separate LibreOffice, because the shared one may reach its document limit during this test.
    office = WarmOffice(sandbox, work_dir=work_dir)
    converter, good = LibreOffice(office), letter(tmp_path / "letter.docx", 1)
    await run_job(converter, good, "docx", "pdf")
    pid_before = office.pid

    for name in ("truncated_half.docx", "truncated_half.pptx", "random.pptx", "exe_named.pptx", "bitflips.pptx"):
        with pytest.raises(CorruptSource, match=r"cannot be read as (Word|PowerPoint)"):
            await run_job(converter, corpus / "hostile_made" / name, name[-4:], "pdf")

    (product,) = await run_job(converter, good, "docx", "pdf")
    assert page_texts(product.path) == ["Page 1"]
    assert pid_before is not None and office.pid == pid_before  # a bad file costs no restart
    await converter.aclose()


async def test_remote_picture_in_a_deck_is_not_fetched(convert: Convert, canary: Canary, tmp_path: Path) -> None:
    port, visitors = canary.port, canary.requests
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    slide.shapes.add_picture(str(tmp_path / "red.png"), 0, 0)
    slide.part.relate_to(f"http://127.0.0.1:{port}/canary.png", f"{_RELATIONS}/image", is_external=True)
    presentation.save(str(tmp_path / "plain.pptx"))
    old, new = b'r:embed="rId2"', b'r:link="rId3"'
    found = sum(member.count(old) for member in members_of(tmp_path / "plain.pptx"))
    repacked(tmp_path / "plain.pptx", tmp_path / "deck.pptx", lambda _, member: member.replace(old, new))

    await convert(tmp_path / "deck.pptx")

    assert found == 1
    assert visitors == []


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["ext_image_http.pptx", "attachedtemplate.docx", "ext_webservice.ods", "ext.rtf"])
async def test_real_remote_links_are_not_fetched(
    convert: Convert, canary: Canary, corpus: Path, tmp_path: Path, name: str
) -> None:
    port, visitors = canary.port, canary.requests

    with contextlib.suppress(BadSource):
        await convert(pointed_at(port, corpus / "hostile_made" / name, tmp_path / name))

    assert visitors == []


def pointed_at(port: int, source: Path, target: Path) -> Path:
    """A copy of a hostile file whose URLs point to the canary of this test."""
    old, new = b"127.0.0.1:18777", b"127.0.0.1:%d" % port
    content = b"".join(members_of(source)) if source.suffix != ".rtf" else source.read_bytes()
    assert old in content
    if source.suffix != ".rtf":
        return repacked(source, target, lambda _, member: member.replace(old, new))
    target.write_bytes(content.replace(old, new))
    return target


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("ext_image_http.pptx", OfficeSlides, "odp"),
        ("attachedtemplate.docx", OfficeDocuments, "odt"),
        ("ext.rtf", OfficeDocuments, "docx"),
        ("ext_webservice.ods", OfficeSheets, "xlsx"),
        ("ext_webservice.ods", OfficeTable, "csv"),
    ],
)
async def test_rewriting_fetches_no_remote_links(
    sandbox: Sandbox, warm: WarmOffice, run_job: RunJob, canary: Canary, corpus: Path, tmp_path: Path, name: str,
    kind: type[OfficeRewriting], target: str,
) -> None:  # fmt: skip
    port, visitors = canary.port, canary.requests
    source = pointed_at(port, corpus / "hostile_made" / name, tmp_path / name)

    with contextlib.suppress(BadSource):
        (product,) = await run_job(kind(sandbox, warm), source, source.suffix[1:], target)
        assert b"root:" not in b"".join(members_of(product.path) if target != "csv" else [product.path.read_bytes()])

    assert visitors == []


@pytest.mark.corpus
async def test_linked_local_picture_is_not_embedded(convert: Convert, corpus: Path, tmp_path: Path) -> None:
    pdf = await convert(linking_to(private_picture(tmp_path), corpus, tmp_path / "letter.odt"))

    assert pictures_in(pdf) == 0


@pytest.mark.corpus
async def test_linked_local_text_is_not_embedded(convert: Convert, corpus: Path) -> None:
    pdf = await convert(corpus / "hostile_made" / "ext_section_file.odt")

    assert "root:" not in "".join(page_texts(pdf))


@pytest.mark.corpus
def test_control_without_sandbox_fetches_and_reads(canary: Canary, corpus: Path, tmp_path: Path) -> None:
    """Shows that the canary and the private picture detect a leak."""
    port, visitors = canary.port, canary.requests
    deck_file = pointed_at(port, corpus / "hostile_made" / "ext_image_http.pptx", tmp_path / "deck.pptx")
    letter_file = linking_to(private_picture(tmp_path), corpus, tmp_path / "letter.odt")

    subprocess.run(
        ["soffice", f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--headless", "--convert-to", "pdf",
         "--outdir", str(tmp_path), str(deck_file), str(letter_file)],
        check=True, capture_output=True, timeout=100,
    )  # fmt: skip

    assert visitors
    assert pictures_in(tmp_path / "letter.pdf") == 1


def private_picture(folder: Path) -> Path:
    """A picture that only this machine has."""
    Image.new("RGB", (40, 40), "red").save(folder / "private.png")
    return folder / "private.png"


def linking_to(picture: Path, corpus: Path, target: Path) -> Path:
    """The corpus letter with a linked local picture, pointing to an existing one."""

    def point(_: str, content: bytes) -> bytes:
        return re.sub(rb"file:///[^\"]*secret\.png", picture.as_uri().encode(), content)

    return repacked(corpus / "hostile_made" / "ext_image_file.odt", target, point)


def pictures_in(pdf: Path) -> int:
    document = pypdfium2.PdfDocument(pdf)
    found = [thing for page in document for thing in page.get_objects() if thing.type == _PICTURE]
    document.close()
    return len(found)


@pytest.mark.corpus
async def test_layout_bomb_times_out_and_the_next_converts(
    convert: Convert, warm: WarmOffice, corpus: Path, tmp_path: Path
) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)
    family = descendants_of(warm.pid or 0)

    with pytest.raises(EngineTimeout, match="3 s allowed"):
        await convert(corpus / "hostile_made" / "layoutbomb.docx", limits=Limits(wall_s=3))

    assert family and not [pid for pid in family if is_running(pid)]
    assert page_texts(await convert(good)) == ["Page 1"]


_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def members_of(package: Path) -> list[bytes]:
    with zipfile.ZipFile(package) as archive:
        return [archive.read(member) for member in archive.infolist()]


_PICTURE = 3  # FPDF_PAGEOBJ_IMAGE


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "poi__51921-Word-Crash067.doc",
        "poi__clusterfuzz-testcase-minimized-POIHSLFFuzzer-5306877435838464.ppt",
        "poi__clusterfuzz-testcase-minimized-POIHSSFFuzzer-6137883240824832.xls",
        "poi__clusterfuzz-testcase-minimized-POIHWPFFuzzer-4892412469968896.doc",
        "poi__clusterfuzz-testcase-minimized-POIXWPFFuzzer-4791943399604224.docx",
    ],
)
async def test_fuzzed_source_fails_clearly_or_makes_a_good_pdf(
    convert: Convert, corpus: Path, tmp_path: Path, name: str
) -> None:
    """I13."""
    with contextlib.suppress(ConversionError):  # one of these does crash LibreOffice
        pdf = await convert(corpus / "hostile_found" / name, limits=Limits(wall_s=15))
        assert len(page_texts(pdf)) >= 1

    assert page_texts(await convert(letter(tmp_path / "letter.docx", 1))) == ["Page 1"]


async def test_package_that_unpacks_to_too_much_is_refused(convert: Convert, tmp_path: Path) -> None:
    bomb = with_member(letter(tmp_path / "letter.docx", 1), tmp_path / "bomb.docx", b" " * 20_000_000)

    with pytest.raises(SourceTooLarge, match="unpacks to"):
        await convert(bomb, limits=Limits(unpacked_bytes=10_000_000))


async def test_package_with_too_many_members_is_refused(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="parts; at most 10"):
        await convert(deck(tmp_path / "deck.pptx", 1), limits=Limits(entries=10))


async def test_package_with_false_sizes_ends_and_the_next_converts(convert: Convert, tmp_path: Path) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    bomb = tmp_path / "bomb.docx"
    blanks = b" " * 50_000_000
    repacked(good, bomb, lambda name, member: member + blanks if name == "word/document.xml" else member)
    bomb.write_bytes(_smaller(bomb.read_bytes()))

    with contextlib.suppress(ConversionError):
        assert page_texts(await convert(bomb, limits=Limits(wall_s=20, unpacked_bytes=10_000_000))) == ["Page 1"]

    assert page_texts(await convert(good)) == ["Page 1"]


def _smaller(package: bytes) -> bytes:
    """Set the declared size of the text to 1,000 bytes."""
    name = b"word/document.xml"
    entry = package.rindex(b"PK\x01\x02", 0, package.rindex(name))
    return package[: entry + 24] + (1000).to_bytes(4, "little") + package[entry + 28 :]


def with_member(source: Path, target: Path, content: bytes) -> Path:
    """A copy of a package with one additional member."""
    repacked(source, target, lambda _, member: member)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/more.xml", content)
    return target


async def test_macro_bound_to_opening_does_not_run(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(letter_with_macro(tmp_path / "letter.odt"))

    assert page_texts(pdf) == ["Nothing ran"]


def letter_with_macro(path: Path) -> Path:
    """A letter whose macro replaces its text as soon as it is opened."""
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    module = "Sub Main\nThisComponent.Text.String = &quot;MACRO RAN&quot;\nEnd Sub"
    library = (
        '<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard"'
        ' library:readonly="false" library:passwordprotected="false"><library:element library:name="M"/>'
        "</library:library>"
    )
    members = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f'<office:document-content xmlns:office="{office}" office:version="1.2"'
        ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"'
        ' xmlns:ooo="http://openoffice.org/2004/office" xmlns:script="urn:oasis:names:tc:opendocument:xmlns:script:1.0"'
        ' xmlns:dom="http://www.w3.org/2001/xml-events">'
        '<office:scripts><office:event-listeners><script:event-listener script:language="ooo:script"'
        ' script:event-name="dom:load" xlink:type="simple"'
        ' xlink:href="vnd.sun.star.script:Standard.M.Main?language=Basic&amp;location=document"/>'
        "</office:event-listeners></office:scripts>"
        "<office:body><office:text><text:p>Nothing ran</text:p></office:text></office:body></office:document-content>",
        "Basic/script-lc.xml": '<library:libraries xmlns:library="http://openoffice.org/2000/library"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink"><library:library library:name="Standard" library:link="false"/>'
        "</library:libraries>",
        "Basic/Standard/script-lb.xml": library,
        "Basic/Standard/M.xml": '<script:module xmlns:script="http://openoffice.org/2000/script" script:name="M"'
        f' script:language="StarBasic">{module}</script:module>',
        "META-INF/manifest.xml": "<manifest:manifest"
        ' xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        '<manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.text"/>'
        + "".join(
            f'<manifest:file-entry manifest:full-path="{name}" manifest:media-type="text/xml"/>'
            for name in ("content.xml", "Basic/script-lc.xml", "Basic/Standard/script-lb.xml", "Basic/Standard/M.xml")
        )
        + "</manifest:manifest>",
    }
    with zipfile.ZipFile(path, "w") as package:
        for name, content in members.items():
            package.writestr(name, content)
    return path
