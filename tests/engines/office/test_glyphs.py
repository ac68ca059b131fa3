"""Emoji are drawn in colour, and characters for which no font has a glyph are named."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import docx
import openpyxl
import pytest
from pptx import Presentation

from converto_engines.office.colour_fonts import draws_colours
from converto_engines.office.sandboxed.glyphs import Fonts
from tests.engines.office.samples import has_colours, letter, page_texts

Convert = Callable[..., Awaitable[Path]]
NOWHERE = "\u0378"  # not assigned, so no font has it
SCRIPTS = ["日本語", "한국어", "简体中文", "العربية", "עברית", "हिन्दी", "ไทย", "Ελληνικά", "Русский"]


def written(path: Path, *lines: str) -> Path:
    document = docx.Document()
    for line in lines:
        document.add_paragraph(line)
    document.save(str(path))
    return path


async def notes_of(convert: Convert, source: Path) -> list[str]:
    notes: list[str] = []
    await convert(source, note=notes.append)
    return notes


def on_a_slide(path: Path, text: str) -> Path:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = text
    presentation.save(str(path))
    return path


def in_a_cell(path: Path, text: str) -> Path:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append([text])
    workbook.save(path)
    return path


MAKERS = {"docx": written, "pptx": on_a_slide, "xlsx": in_a_cell}


@pytest.fixture(scope="session")
def emoji_font() -> None:
    """Emoji need a font in colour."""
    program = shutil.which("fc-list")
    if program is None or b"Noto Color Emoji" not in subprocess.run([program], capture_output=True, check=True).stdout:
        pytest.skip("the font Noto Color Emoji is not installed")


@pytest.mark.usefixtures("emoji_font")
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("emoji", ["😀🎉👍", "👍🏽", "🇩🇪", "👩\u200d🚀"])
async def test_emoji_are_drawn_in_colour(convert: Convert, tmp_path: Path, kind: str, emoji: str) -> None:
    notes: list[str] = []

    pdf = await convert(MAKERS[kind](tmp_path / f"emoji.{kind}", f"see {emoji}"), note=notes.append)

    assert has_colours(pdf)
    assert page_texts(pdf)[0].startswith(f"see {emoji}")
    assert notes == []
    assert b"Blank" not in pdf.read_bytes()


@pytest.mark.usefixtures("emoji_font")
async def test_emoji_in_an_archive_pdf_are_drawn(convert: Convert, tmp_path: Path) -> None:
    pdf = await convert(written(tmp_path / "emoji.docx", "see 😀"), pdf_a=True)

    assert has_colours(pdf)
    assert b"pdfaid:part" in pdf.read_bytes()


@pytest.mark.parametrize(
    ("version", "draws"), [("7.4.7.2", False), ("7.5.0.3", True), ("24.2.1.2", True), ("none", False), ("", False)]
)
def test_later_versions_draw_colours_by_themselves(version: str, draws: bool) -> None:
    assert draws_colours(version) is draws


async def test_scripts_with_fonts_have_no_note(convert: Convert, tmp_path: Path) -> None:
    assert await notes_of(convert, written(tmp_path / "scripts.docx", *SCRIPTS)) == []
    assert await notes_of(convert, letter(tmp_path / "letter.docx", 1)) == []


async def test_character_without_font_is_named(convert: Convert, tmp_path: Path) -> None:
    (note,) = await notes_of(convert, written(tmp_path / "odd.docx", f"before {NOWHERE} after"))

    assert "U+0378" in note


async def test_character_without_font_on_a_slide_is_named(convert: Convert, tmp_path: Path) -> None:
    (note,) = await notes_of(convert, on_a_slide(tmp_path / "odd.pptx", f"before {NOWHERE} after"))

    assert "U+0378" in note


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ("20-7e", ["é", "漢"]),
        ("20-7e e9\n6f22-6f23", []),
        ("41 20 e9", ["漢"]),
    ],
)
def test_missing_characters_follow_the_list_of_fonts(listed: str, missing: list[str]) -> None:
    assert Fonts(listed).missing(Counter("A éé漢")) == missing


def test_invisible_characters_need_no_glyph() -> None:
    assert Fonts("41").missing(Counter("A\n\t\u200d\ufe0f\ufeff\ue000\uffff\u00a0")) == []
