"""Tracked changes and comments of text documents, checked in the PDF and in the plain text."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import docx
import pikepdf
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from converto_core.errors import BadOptions
from converto_engines.converter import Converter
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob
from tests.engines.office.samples import has_colours, letter, page_texts, repacked

Convert = Callable[..., Awaitable[Path]]
AUTHOR = 'w:author="A" w:date="2024-01-01T00:00:00Z"'


def revised(path: Path) -> Path:
    """One paragraph with a new and a deleted word."""
    document = docx.Document()
    paragraph = document.add_paragraph("Kept ")
    run = "<w:r><w:{0} xml:space='preserve'>{1}</w:{0}></w:r>"
    added, gone = run.format("t", "NEW"), run.format("delText", "OLD")
    paragraph._p.append(parse_xml(f'<w:ins {nsdecls("w")} w:id="1" {AUTHOR}>{added}</w:ins>'))
    paragraph._p.append(parse_xml(f'<w:del {nsdecls("w")} w:id="2" {AUTHOR}>{gone}</w:del>'))
    document.save(str(path))
    return path


def commented(path: Path) -> Path:
    document = docx.Document()
    run = document.add_paragraph().add_run("Plain words")
    document.add_comment(run, text="Really so", author="Ada", initials="A")
    document.save(str(path))
    return path


async def test_pdf_shows_changes_with_marks_and_tells(convert: Convert, tmp_path: Path) -> None:
    notes: list[str] = []
    pdf = await convert(revised(tmp_path / "revised.docx"), note=notes.append)

    assert page_texts(pdf) == ["Kept NEWOLD"]
    assert has_colours(pdf)
    (note,) = notes
    assert "tracked changes" in note and "option changes" in note


@pytest.mark.parametrize(("changes", "line"), [("accepted", "Kept NEW"), ("rejected", "Kept OLD")])
@pytest.mark.parametrize("source_format", ["docx", "odt", "rtf"])
async def test_changes_are_settled_in_the_pdf(
    convert: Convert, documents: Converter, tmp_path: Path, changes: str, line: str, source_format: str
) -> None:
    source = revised(tmp_path / "revised.docx")
    if source_format != "docx":
        source = await convert(source, source_format, by=documents)

    pdf = await convert(source, changes=changes)

    assert page_texts(pdf) == [line]
    assert not has_colours(pdf)


@pytest.mark.parametrize(("chosen", "line"), [({}, "Kept NEW"), ({"changes": "rejected"}, "Kept OLD")])
async def test_text_never_joins_old_and_new_words(
    convert: Convert, text: Converter, tmp_path: Path, chosen: dict[str, str], line: str
) -> None:
    notes: list[str] = []

    made = await convert(revised(tmp_path / "revised.docx"), "txt", by=text, note=notes.append, **chosen)

    assert made.read_text().strip() == line
    assert len(notes) == 1 and "left out" in notes[0]


async def test_default_plan_to_text_accepts_changes(
    run_job: RunJob, to_pdf: LibreOffice, text: Converter, sandbox: Sandbox, tmp_path: Path
) -> None:
    source = revised(tmp_path / "revised.docx")

    made = await run_chain(run_job, [to_pdf, PdfText(sandbox), text], source, ("docx", "txt"), changes="accepted")

    assert made.read_text().strip() == "Kept NEW"


async def test_protected_changes_are_settled_too(convert: Convert, tmp_path: Path) -> None:
    protection = b'<w:documentProtection w:edit="trackedChanges" w:enforcement="1"/></w:settings>'
    source = repacked(
        revised(tmp_path / "revised.docx"),
        tmp_path / "protected.docx",
        lambda name, member: member.replace(b"</w:settings>", protection) if name.endswith("settings.xml") else member,
    )

    assert page_texts(await convert(source, changes="accepted")) == ["Kept NEW"]


def annotations(pdf: Path) -> list[str]:
    with pikepdf.open(pdf) as document:
        found = [note for page in document.pages for note in page.get("/Annots", [])]
        return [str(note.Contents) for note in found if note.Subtype == "/Text"]


async def test_comments_are_kept_as_annotations(convert: Convert, tmp_path: Path) -> None:
    notes: list[str] = []

    pdf = await convert(commented(tmp_path / "notes.docx"), note=notes.append)

    assert page_texts(pdf) == ["Plain words"]
    assert annotations(pdf) == ["Really so"]
    assert notes == []


async def test_comments_are_left_out_on_request(convert: Convert, text: Converter, tmp_path: Path) -> None:
    source = commented(tmp_path / "notes.docx")

    pdf = await convert(source, comments="none")

    assert page_texts(pdf) == ["Plain words"] and annotations(pdf) == []
    assert (await convert(source, "txt", by=text)).read_text().strip() == "Plain words"


async def test_changes_are_settled_beside_comments(convert: Convert, text: Converter, tmp_path: Path) -> None:
    notes: list[str] = []
    document = docx.Document(str(revised(tmp_path / "revised.docx")))
    document.add_comment(document.paragraphs[0].runs, text="Really so", author="Ada", initials="A")
    document.save(str(tmp_path / "both.docx"))

    assert page_texts(await convert(tmp_path / "both.docx", changes="accepted")) == ["Kept NEW"]
    assert page_texts(await convert(tmp_path / "both.docx", note=notes.append)) == ["Kept NEWOLD"]
    assert (await convert(tmp_path / "both.docx", "txt", by=text)).read_text().strip() == "Kept NEW"
    assert len(notes) == 1


@pytest.mark.parametrize("target", ["docx", "odt", "rtf"])
async def test_commented_document_is_rewritten(
    convert: Convert, documents: Converter, text: Converter, tmp_path: Path, target: str
) -> None:
    made = await convert(commented(tmp_path / "notes.docx"), target, by=documents)

    assert (await convert(made, "txt", by=text)).read_text().strip() == "Plain words"


@pytest.mark.parametrize("chosen", [{}, {"changes": "accepted"}, {"comments": "none"}])
async def test_clean_document_has_no_notes(convert: Convert, tmp_path: Path, chosen: dict[str, str]) -> None:
    notes: list[str] = []

    pdf = await convert(letter(tmp_path / "letter.docx", 2), note=notes.append, **chosen)

    assert page_texts(pdf) == ["Page 1", "Page 2"]
    assert notes == []


async def test_text_cannot_show_changes(convert: Convert, text: Converter, tmp_path: Path) -> None:
    with pytest.raises(BadOptions):
        await convert(revised(tmp_path / "revised.docx"), "txt", by=text, changes="shown")


@pytest.mark.corpus
async def test_found_document_keeps_old_and_new_apart(convert: Convert, text: Converter, found: Path) -> None:
    made = await convert(found / "tracked.docx", "txt", by=text)

    assert made.read_text().strip() == "Kept text. INSERTED"


@pytest.mark.parametrize("target", ["docx", "odt", "rtf"])
async def test_rewritten_document_keeps_its_comments(
    convert: Convert, documents: Converter, tmp_path: Path, target: str
) -> None:
    """The warm LibreOffice aborts over comments; a run of its own does not."""
    notes: list[str] = []

    made = await convert(commented(tmp_path / "notes.docx"), target, by=documents, note=notes.append)
    pdf = await convert(made)

    assert page_texts(pdf) == ["Plain words"]
    assert annotations(pdf) == ["Really so"]
    assert notes == []
