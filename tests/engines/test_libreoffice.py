"""Office documents to PDF by the real LibreOffice: every source format, every option, and files that mean harm."""

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pypdfium2
import pytest
from PIL import Image
from pptx import Presentation
from pptx.util import Inches

from converto_core.errors import (
    BadOptions,
    BadSource,
    CorruptSource,
    EncryptedSource,
    EngineCrashed,
    EngineMissing,
    EngineTimeout,
    SourceTooLarge,
)
from converto_engines.converter import Limits, Product
from converto_engines.libreoffice import LibreOffice
from converto_engines.process import Sandbox
from converto_engines.process_tree import descendants_of

RunJob = Callable[..., Awaitable[list[Product]]]
CORPUS = Path(os.environ.get("CONVERTO_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
SAMPLES = (
    "pptx/poi__present1.pptx",
    "pptx/poi__KEY02.pptx",
    "docx/poi__SampleDoc.docx",
    "docx/tika__testWORD_sdtInTextBox.docx",
    "xlsx/poi__Themes.xlsx",
    "xlsx/tika__pic.xlsx",
    "odf/tika__testODTStyles2.odt",
    "odf/tika__testFooter.ods",
    "odf/tika__testMasterFooter.odp",
    "rtf/tika__testRTF.rtf",
    "doc/poi__Bug44431.doc",
    "xls/poi__IndexFunctionTestCaseData.xls",
    "ppt/poi__numbers.ppt",
)


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that only the first test pays for the ready-made profile."""
    return tmp_path_factory.mktemp("office")


@pytest.fixture(scope="module")
async def office(sandbox: Sandbox, work_dir: Path) -> AsyncIterator[LibreOffice]:
    """One warm LibreOffice for this file: that the others work after a bad one is part of what is tested."""
    converter = LibreOffice(sandbox, work_dir=work_dir)
    if await converter.version() is None:
        missing = "LibreOffice, python3-uno or poppler-utils is not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    yield converter
    await converter.aclose()


@pytest.fixture
def corpus() -> Path:
    if not CORPUS.is_dir():
        pytest.skip("the shared corpus is not beside this repository; CONVERTO_CORPUS may name it")
    return CORPUS


@pytest.fixture
def convert(office: LibreOffice, run_job: RunJob) -> Callable[..., Awaitable[Path]]:
    async def to_pdf(source: Path, source_format: str | None = None, **chosen: Any) -> Path:
        name = source_format or source.suffix[1:]
        (product,) = await run_job(office, source, name, "pdf", **chosen)
        assert product.page is None
        return product.path

    return to_pdf


Convert = Callable[..., Awaitable[Path]]


def page_texts(pdf: Path) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range().strip() for page in document]
    finally:
        document.close()


def deck(path: Path, slides: int, hidden: tuple[int, ...] = ()) -> Path:
    presentation = Presentation()
    for number in range(1, slides + 1):
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number}"
        if number in hidden:
            slide._element.set("show", "0")
    presentation.save(str(path))
    return path


def letter(path: Path, pages: int) -> Path:
    document = docx.Document()
    for number in range(1, pages + 1):
        document.add_paragraph(f"Page {number}")
        if number < pages:
            document.add_page_break()
    document.save(str(path))
    return path


async def until(condition: Callable[[], bool], deadline_s: float = 20) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- what another process does sets no event here
            await asyncio.sleep(0.01)


def slots_in(work_dir: Path) -> set[Path]:
    return set(work_dir.glob("*/slot-*"))


def soffice_pids(office: LibreOffice) -> list[int]:
    family = descendants_of(office.pid) if office.pid else []
    return [pid for pid in family if name_of(pid) == "soffice.bin"]


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


async def test_version_when_installed_then_a_number(office: LibreOffice) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", await office.version() or "")


async def test_version_when_uno_is_missing_then_none(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converto_engines.warm_office._PYTHON", "/usr/bin/no-python-here")

    assert await LibreOffice(sandbox).version() is None


async def test_presentation_when_converted_then_one_page_per_slide(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(deck(tmp_path / "deck.pptx", 3))

    assert page_texts(pdf) == ["Slide 1", "Slide 2", "Slide 3"]


async def test_document_when_converted_then_its_text_is_there(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(letter(tmp_path / "letter.docx", 2))

    assert page_texts(pdf) == ["Page 1", "Page 2"]


async def test_sheet_when_converted_then_its_cells_are_there(convert: Convert, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["apples", 3])
    sheet.append(["sum", "=B1*14"])
    book.save(tmp_path / "book.xlsx")

    (text,) = page_texts(await convert(tmp_path / "book.xlsx"))

    assert "apples" in text and "42" in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
async def test_text_when_in_any_usual_encoding_then_letters_survive(
    convert: Convert, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "note.txt").write_bytes("Grüße aus Köln\n".encode(encoding))

    assert page_texts(await convert(tmp_path / "note.txt")) == ["Grüße aus Köln"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
async def test_csv_when_separated_in_any_usual_way_then_cells_are_apart(
    convert: Convert, tmp_path: Path, separator: str
) -> None:
    lines = ["name", "amount"], ["köln", "7"], ["bonn", "8"]
    (tmp_path / "table.csv").write_text("\n".join(separator.join(line) for line in lines), encoding="utf-8")

    (text,) = page_texts(await convert(tmp_path / "table.csv"))

    assert "köln" in text and separator.strip() not in text.replace("\r\n", " ").split(" ")
    assert f"köln{separator}7" not in text or separator == "\t"


async def test_source_when_converted_then_it_is_not_changed(
    office: LibreOffice, run_job: RunJob, tmp_path: Path
) -> None:
    source = tmp_path / "latin.txt"
    source.write_bytes("Grüße".encode("windows-1252"))

    (product,) = await run_job(office, source, "txt", "pdf")

    assert (product.path.parent / "source").read_bytes() == source.read_bytes()


async def test_progress_when_cold_and_warm_then_stages_are_told(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, tmp_path: Path
) -> None:
    converter, stages, slots_before = LibreOffice(sandbox, work_dir=work_dir), list[str](), slots_in(work_dir)
    source = letter(tmp_path / "letter.docx", 1)

    for _ in range(2):
        await run_job(converter, source, "docx", "pdf", report=lambda percent, stage: stages.append(stage))
    await converter.aclose()

    assert stages == ["starting LibreOffice", "opening", "exporting", "opening", "exporting"]
    assert slots_in(work_dir) == slots_before


@pytest.mark.corpus
@pytest.mark.parametrize("sample", SAMPLES)
async def test_sample_when_real_then_pdf_opens(convert: Convert, corpus: Path, sample: str) -> None:
    pdf = await convert(corpus / sample)

    assert len(page_texts(pdf)) >= 1


async def test_pages_when_chosen_then_only_these(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(deck(tmp_path / "deck.pptx", 5), pages="2-3,5")

    assert page_texts(pdf) == ["Slide 2", "Slide 3", "Slide 5"]


async def test_pages_when_chosen_in_a_document_then_only_these(convert: Convert, tmp_path: Path) -> None:
    assert page_texts(await convert(letter(tmp_path / "letter.docx", 4), pages="2,4")) == ["Page 2", "Page 4"]


async def test_pages_when_slides_are_hidden_then_visible_ones_count(convert: Convert, tmp_path: Path) -> None:
    source = deck(tmp_path / "deck.pptx", 5, hidden=(2,))

    assert page_texts(await convert(source)) == ["Slide 1", "Slide 3", "Slide 4", "Slide 5"]
    assert page_texts(await convert(source, pages="2-3")) == ["Slide 3", "Slide 4"]


async def test_pages_when_every_slide_is_hidden_then_says_so(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="hidden"):
        await convert(deck(tmp_path / "deck.pptx", 2, hidden=(1, 2)))


@pytest.mark.parametrize("pages", ["4-9", "8-9", "3-2", "0", "1-", "a", "1,,2", "-3"])
async def test_pages_when_wrong_then_bad_options(convert: Convert, tmp_path: Path, pages: str) -> None:
    with pytest.raises(BadOptions):
        await convert(deck(tmp_path / "deck.pptx", 5), pages=pages)


@pytest.mark.parametrize("pages", ["3-9", "8-9"])
async def test_pages_when_past_the_end_of_a_document_then_bad_options(
    convert: Convert, tmp_path: Path, pages: str
) -> None:
    with pytest.raises(BadOptions, match="pages asked for"):
        await convert(letter(tmp_path / "letter.docx", 4), pages=pages)


async def test_pages_when_more_than_allowed_then_too_large(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="5 pages; at most 4"):
        await convert(deck(tmp_path / "deck.pptx", 5), limits=Limits(pages=4))
    with pytest.raises(SourceTooLarge, match="5 pages; at most 4"):
        await convert(letter(tmp_path / "letter.docx", 5), limits=Limits(pages=4))


async def test_quality_when_low_then_pictures_get_smaller(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((1200, 900), 80).convert("RGB").save(tmp_path / "noise.png")
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    slide.shapes.add_picture(str(tmp_path / "noise.png"), 0, 0, width=Inches(9))
    presentation.save(str(tmp_path / "deck.pptx"))

    low = (await convert(tmp_path / "deck.pptx", quality=10)).stat().st_size
    high = (await convert(tmp_path / "deck.pptx", quality=95)).stat().st_size

    assert low * 2 < high


async def test_pdf_a_when_asked_for_then_the_file_says_so(convert: Convert, tmp_path: Path) -> None:
    source = letter(tmp_path / "letter.docx", 1)

    assert b"pdfaid:part" in (await convert(source, pdf_a=True)).read_bytes()
    assert b"pdfaid:part" not in (await convert(source)).read_bytes()


# Behaviour I13: corrupted, encrypted or mislabelled decks fail clearly and never take a worker down.


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
async def test_source_when_encrypted_then_says_password(convert: Convert, corpus: Path, name: str) -> None:
    with pytest.raises(EncryptedSource, match="password"):
        await convert(corpus / name)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    ["truncated_half.docx", "truncated_half.pptx", "random.pptx", "exe_named.pptx", "bitflips.pptx"],
)
async def test_source_when_broken_then_says_damaged_and_the_next_converts(
    convert: Convert, office: LibreOffice, corpus: Path, tmp_path: Path, name: str
) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)
    pid_before = office.pid

    with pytest.raises(CorruptSource, match=r"cannot be read as (Word|PowerPoint)"):
        await convert(corpus / "hostile_made" / name)

    assert page_texts(await convert(good)) == ["Page 1"]
    assert office.pid == pid_before  # a bad file costs no restart


@pytest.mark.parametrize("claimed", ["docx", "doc", "odt", "rtf", "pptx", "ppt", "odp", "odg", "xlsx", "xls", "ods"])
@pytest.mark.parametrize(
    "content", [b"just some text\n", b"<html><body>hi</body></html>", b"", random.Random(7).randbytes(4096)]
)
async def test_source_when_something_else_then_never_a_pdf_of_garbage(
    convert: Convert, tmp_path: Path, claimed: str, content: bytes
) -> None:
    (tmp_path / "lie").write_bytes(content)

    with pytest.raises(CorruptSource):
        await convert(tmp_path / "lie", claimed)


async def test_source_when_a_deck_is_called_document_then_refused(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(CorruptSource):
        await convert(deck(tmp_path / "deck.pptx", 1), "docx")
    with pytest.raises(CorruptSource):
        await convert(letter(tmp_path / "letter.docx", 1), "pptx")


async def test_text_when_binary_then_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 10)

    with pytest.raises(CorruptSource):
        await convert(tmp_path / "binary.txt")


@pytest.fixture
def canary() -> Iterator[tuple[int, list[str]]]:
    """A web server on the loopback address and the list of those who came."""
    visitors: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, address = server.accept()
                    visitors.append(str(address))
                    connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)


def rewritten(source: Path, target: Path, old: bytes, new: bytes) -> int:
    """Copy a package with `old` replaced in all its XML; how often it was there."""
    found = 0
    with zipfile.ZipFile(source) as package, zipfile.ZipFile(target, "w") as copy:
        for member in package.infolist():
            content = package.read(member)
            found += content.count(old)
            copy.writestr(member, content.replace(old, new))
    return found


async def test_remote_picture_when_in_a_deck_then_nobody_calls(
    convert: Convert, canary: tuple[int, list[str]], tmp_path: Path
) -> None:
    port, visitors = canary
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    slide.shapes.add_picture(str(tmp_path / "red.png"), 0, 0)
    slide.part.relate_to(f"http://127.0.0.1:{port}/canary.png", f"{_RELATIONS}/image", is_external=True)
    presentation.save(str(tmp_path / "plain.pptx"))
    found = rewritten(tmp_path / "plain.pptx", tmp_path / "deck.pptx", b'r:embed="rId2"', b'r:link="rId3"')

    await convert(tmp_path / "deck.pptx")

    assert found == 1
    assert visitors == []


_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["ext_image_http.pptx", "attachedtemplate.docx", "ext_webservice.ods", "ext.rtf"])
async def test_remote_links_when_real_then_nobody_calls(
    convert: Convert, canary: tuple[int, list[str]], corpus: Path, tmp_path: Path, name: str
) -> None:
    port, visitors = canary
    source, target = corpus / "hostile_made" / name, tmp_path / name
    content = source.read_bytes() if name.endswith("rtf") else b"".join(members_of(source))
    (address,) = set(re.findall(rb"http://(127\.0\.0\.1:\d+|[a-z0-9.-]*canary[a-z0-9.:-]*)", content)) or {b""}
    if name.endswith("rtf"):
        target.write_bytes(content.replace(address, b"127.0.0.1:%d" % port))
    else:
        rewritten(source, target, address, b"127.0.0.1:%d" % port)

    with contextlib.suppress(BadSource):
        await convert(target)

    assert address
    assert visitors == []


def members_of(package: Path) -> list[bytes]:
    with zipfile.ZipFile(package) as archive:
        return [archive.read(member) for member in archive.infolist()]


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["ext_image_file.odt", "ext_section_file.odt"])
async def test_local_links_when_real_then_no_foreign_bytes(convert: Convert, corpus: Path, name: str) -> None:
    pdf = await convert(corpus / "hostile_made" / name)

    document = pypdfium2.PdfDocument(pdf)
    pictures = [thing for page in document for thing in page.get_objects() if thing.type == _PICTURE]
    document.close()
    assert pictures == []
    assert "root:" not in "".join(page_texts(pdf))


_PICTURE = 3  # FPDF_PAGEOBJ_IMAGE


@pytest.mark.corpus
async def test_layout_bomb_when_deadline_passes_then_timeout_and_the_next_converts(
    convert: Convert, office: LibreOffice, corpus: Path, tmp_path: Path
) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)
    family = descendants_of(office.pid or 0)

    with pytest.raises(EngineTimeout, match="3 s allowed"):
        await convert(corpus / "hostile_made" / "layoutbomb.docx", limits=Limits(wall_s=3))

    assert family and not [pid for pid in family if is_running(pid)]
    assert page_texts(await convert(good)) == ["Page 1"]


async def test_soffice_when_killed_while_idle_then_the_next_converts(
    convert: Convert, office: LibreOffice, tmp_path: Path
) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)
    (victim,) = soffice_pids(office)

    os.kill(victim, signal.SIGKILL)
    await until(lambda: not is_running(victim))

    assert page_texts(await convert(good)) == ["Page 1"]


async def test_soffice_when_killed_at_work_then_crash_is_told_and_the_next_converts(
    convert: Convert, office: LibreOffice, tmp_path: Path
) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)
    (victim,) = soffice_pids(office)

    def kill_when_exporting(percent: float | None, stage: str) -> None:
        if stage == "exporting":
            os.kill(victim, signal.SIGKILL)

    with pytest.raises(EngineCrashed):
        await convert(good, report=kill_when_exporting)

    assert page_texts(await convert(good)) == ["Page 1"]


async def test_driver_when_killed_then_the_next_converts(convert: Convert, office: LibreOffice, tmp_path: Path) -> None:
    good = letter(tmp_path / "letter.docx", 1)
    await convert(good)

    os.killpg(office.pid or 0, signal.SIGKILL)
    await until(lambda: office.pid is None)

    assert page_texts(await convert(good)) == ["Page 1"]


async def test_restart_when_it_did_its_share_then_a_fresh_one_goes_on(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, tmp_path: Path
) -> None:
    converter = LibreOffice(sandbox, work_dir=work_dir, restart_documents=2)
    source, pids = letter(tmp_path / "letter.docx", 1), list[int | None]()

    for _ in range(3):
        await run_job(converter, source, "docx", "pdf")
        pids.append(converter.pid)
    await converter.aclose()

    assert pids[0] is not None and pids[1] is None
    assert pids[2] is not None and pids[2] != pids[0]


async def test_cancellation_when_at_work_then_nothing_of_it_is_left(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, tmp_path: Path
) -> None:
    converter, is_exporting = LibreOffice(sandbox, work_dir=work_dir), asyncio.Event()
    source = letter(tmp_path / "letter.docx", 400)
    await run_job(converter, letter(tmp_path / "small.docx", 1), "docx", "pdf")
    family = descendants_of(converter.pid or 0)
    working = asyncio.create_task(
        run_job(converter, source, "docx", "pdf", report=lambda _, stage: stage == "exporting" and is_exporting.set())
    )
    async with asyncio.timeout(60):
        await is_exporting.wait()

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert len(family) > 1 and not [pid for pid in family if is_running(pid)]
    assert list(work_dir.glob("*/slot-*/job-*")) == []
    await converter.aclose()


async def test_slot_when_its_owner_was_killed_then_the_next_worker_removes_it(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, tmp_path: Path
) -> None:
    first, second, before = (
        LibreOffice(sandbox, work_dir=work_dir),
        LibreOffice(sandbox, work_dir=work_dir),
        slots_in(work_dir),
    )
    source = letter(tmp_path / "letter.docx", 1)
    await run_job(first, source, "docx", "pdf")
    (living,) = slots_in(work_dir) - before
    abandoned = living.parent / "slot-abandoned"
    abandoned.mkdir()
    (abandoned / "owner").touch()

    await run_job(second, source, "docx", "pdf")

    assert living.exists() and not abandoned.exists()
    await asyncio.gather(first.aclose(), second.aclose())


async def test_seccomp_when_there_is_no_bubblewrap_then_documents_convert_and_nothing_stays_in_tmp(
    run_job: RunJob, work_dir: Path, tmp_path: Path
) -> None:
    try:
        converter, slots_before = LibreOffice(await Sandbox.choose("seccomp"), work_dir=work_dir), slots_in(work_dir)
    except EngineMissing as error:
        pytest.skip(str(error))

    (product,) = await run_job(converter, letter(tmp_path / "letter.docx", 2), "docx", "pdf")
    (slot,) = slots_in(work_dir) - slots_before
    sockets_at_work = list(Path("/tmp").glob(f"OSL_PIPE_*{slot.name}"))
    await converter.aclose()

    assert page_texts(product.path) == ["Page 1", "Page 2"]
    assert len(sockets_at_work) == 1 and not sockets_at_work[0].exists()


def test_corpus_when_named_by_the_environment_then_it_is_there() -> None:
    assert "CONVERTO_CORPUS" not in os.environ or CORPUS.is_dir()
