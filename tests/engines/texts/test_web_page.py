"""HTML pages to PDF and to text, read back with pdfium, and hostile pages."""

import base64
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from converto_core.errors import BadOptions, ConversionError, CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.page_text import PageText
from converto_engines.texts.web_page import WebPage
from tests.engines.canary import Canary, listening
from tests.engines.conftest import SHORT, RunJob
from tests.engines.texts.conftest import ConvertContent, ConvertToText

RED_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
SECRET = "the-secret-of-another-file"

Convert = Callable[..., Awaitable[Path]]


@pytest.fixture(scope="module")
async def pages(sandbox: Sandbox) -> WebPage:
    result = WebPage(sandbox)
    assert await result.version() is not None
    return result


@pytest.fixture
def to_pdf(pages: WebPage, convert_content: ConvertContent) -> Convert:
    return convert_content(pages, "html", "pdf")


@pytest.fixture
def to_text(sandbox: Sandbox, convert_to_text: ConvertToText) -> Callable[..., Awaitable[str]]:
    return convert_to_text(PageText(sandbox), "html", "txt")


@pytest.fixture
def canary() -> Iterator[Canary]:
    with listening() as listener:
        yield listener


def text_of(pdf: Path) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf))


def sheet_mm(pdf: Path) -> tuple[int, int]:
    width, height = pypdfium2.PdfDocument(pdf)[0].get_size()
    return round(width / 72 * 25.4), round(height / 72 * 25.4)


def left_edge_mm(pdf: Path) -> float:
    page = pypdfium2.PdfDocument(pdf)[0]
    return min(float(entry.get_bounds()[0]) for entry in page.get_objects()) / 72 * 25.4


async def test_pdf_has_text_picture_link_and_bookmarks(to_pdf: Convert) -> None:
    pdf = await to_pdf(
        "<!DOCTYPE html><title>Lights</title><h1>Tower</h1><p>Ægidia says <b>灯台</b></p><h2>Lens</h2>"
        f'<img src="{RED_DOT}" width=200 height=100><a href="https://example.org/x">more</a>'
    )
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    assert "Ægidia says 灯台" in text_of(pdf)
    assert [entry.get_title() for entry in document.get_toc()] == ["Tower", "Lens"]
    assert any(entry.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE for entry in document[0].get_objects())
    with pikepdf.open(pdf) as opened:
        assert opened.docinfo["/Title"] == "Lights"
        assert [str(note.A.URI) for note in opened.pages[0].Annots] == ["https://example.org/x"]


async def test_pdf_is_made_without_namespaces(run_job: RunJob, tmp_path: Path) -> None:
    other = WebPage(await Sandbox.choose("seccomp"))
    assert await other.version() is not None
    source = tmp_path / "page.html"
    source.write_text("<p>Light")
    (product,) = await run_job(other, source, "html", "pdf")
    assert "Light" in text_of(product.path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("<p>Øresund, ohne Angabe".encode(), "Øresund, ohne Angabe"),
        ("<p>Øresund, alt".encode("windows-1252"), "Øresund, alt"),
        ("<meta charset=iso-8859-2><p>Łódź".encode("iso-8859-2"), "Łódź"),
        ("<p>Øresund, breit".encode("utf-16"), "Øresund, breit"),
    ],
)
async def test_page_in_other_encodings_is_decoded(
    to_pdf: Convert, to_text: Callable[..., Awaitable[str]], content: bytes, found: str
) -> None:
    assert found in text_of(await to_pdf(content))
    assert found in await to_text(content)


LABELS = [
    ("shift_jis", "cp932", "日本語①髙"),
    ("x-sjis", "cp932", "終わり"),
    ("gb2312", "gb18030", "总理朱镕基"),
    ("euc-kr", "cp949", "똠방각하"),
    ("ks_c_5601-1987", "cp949", "한국어"),
    ("windows-949", "cp949", "한국어"),
    ("big5", "big5hkscs", "粵語 嘅"),
    ("iso-8859-1", "cp1252", "€100 – “as agreed” – it’s final… Œuvre™"),
    ("iso-8859-9", "cp1254", "“ğ” €"),
    ("utf-16", "utf-8", "Øresund"),
]


@pytest.mark.parametrize(("label", "codec", "words"), LABELS)
async def test_labels_mean_what_browsers_take_them_for(
    to_pdf: Convert, to_text: Callable[..., Awaitable[str]], label: str, codec: str, words: str
) -> None:
    notes: list[str] = []
    page = f'<html><head><meta charset="{label}"></head><body><p>BEGIN</p><p>{words}</p><p>END</p></body></html>'

    text = await to_text(page.encode(codec), note=notes.append)
    pdf = await to_pdf(page.encode(codec), note=notes.append)

    assert text.split("\n\n") == ["BEGIN", words, "END\n"]
    assert "END" in text_of(pdf)
    assert notes == []


async def test_character_that_does_not_fit_cuts_nothing_off(to_text: Callable[..., Awaitable[str]]) -> None:
    notes: list[str] = []
    page = "<meta charset=euc-jp><p>日本語のページ</p><p>".encode("euc_jp") + b"\xff</p><p>END</p>"

    text = await to_text(page, note=notes.append)

    assert text.split() == ["日本語のページ", "\ufffd", "END"]
    assert notes == ["The page declares the encoding euc-jp, which does not fit: 1 of its characters could not be read"]


async def test_encoding_in_an_xml_declaration_counts(to_text: Callable[..., Awaitable[str]]) -> None:
    page = '<?xml version="1.0" encoding="iso-8859-1"?><html><body><p>Müller</p></body></html>'

    assert await to_text(page.encode("latin-1")) == "Müller\n"


async def test_numbered_lists_begin_where_the_page_says(to_text: Callable[..., Awaitable[str]]) -> None:
    text = await to_text('<ol start="5"><li>five</li><li>six</li></ol><ol><li>one</li></ol>')

    assert [line.split() for line in text.splitlines() if line] == [["5.", "five"], ["6.", "six"], ["1.", "one"]]


ARABIC = "في قرية من القرى كان هناك رجل حكيم يعرف كل شيء عن الحياة وكان يعلم الناس كيف يعيشون بسلام وانسجام"
RUSSIAN = "В деревне жил мудрый человек, который знал о жизни всё и учил людей жить в мире"


@pytest.mark.parametrize(("encoding", "words"), [("windows-1256", ARABIC), ("windows-1251", RUSSIAN)])
async def test_wrong_charset_is_replaced_by_a_guess_and_told(
    to_pdf: Convert, to_text: Callable[..., Awaitable[str]], encoding: str, words: str
) -> None:
    notes: list[str] = []
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head><body><p>'

    text = await to_text(page.encode() + words.encode(encoding), note=notes.append)
    pdf = await to_pdf(page.encode() + words.encode(encoding), note=notes.append)

    assert text == f"{words}\n"
    assert "\ufffd" not in text_of(pdf)
    assert (
        notes
        == [f"The page declares the encoding UTF-8, which does not fit: it was read as {encoding}. Check its letters"]
        * 2
    )


async def test_stray_bytes_do_not_replace_the_declared_charset(to_text: Callable[..., Awaitable[str]]) -> None:
    notes: list[str] = []

    text = await to_text(b"<meta charset=utf-8><p>" + "Øresund ".encode() * 5 + b"\xe4", note=notes.append)

    assert text == "Øresund " * 5 + "\ufffd\n"
    assert notes == ["The page declares the encoding utf-8, which does not fit: 1 of its characters could not be read"]


@pytest.mark.parametrize(
    ("chosen", "size"),
    [
        ({}, (210, 297)),
        ({"paper": "A5"}, (148, 210)),
        ({"paper": "A3"}, (297, 420)),
        ({"paper": "Letter"}, (216, 279)),
        ({"paper": "Legal", "landscape": True}, (356, 216)),
        ({"landscape": True}, (297, 210)),
    ],
)
async def test_chosen_paper_sets_the_page_size(to_pdf: Convert, chosen: dict[str, Any], size: tuple[int, int]) -> None:
    assert sheet_mm(await to_pdf("<p>Light", **chosen)) == size


async def test_only_a_chosen_paper_overrides_the_pages_own(to_pdf: Convert) -> None:
    page = "<style>@page { size: 100mm 80mm; margin: 5mm }</style><p>Light"
    assert sheet_mm(await to_pdf(page)) == (100, 80)
    assert sheet_mm(await to_pdf(page, paper="A4")) == (210, 297)


async def test_chosen_margin_moves_the_text(to_pdf: Convert) -> None:
    page = "<body style='margin:0'><p>Light"
    assert left_edge_mm(await to_pdf(page)) == pytest.approx(20, abs=1)
    assert left_edge_mm(await to_pdf(page, margin_mm=50)) == pytest.approx(50, abs=1)
    assert left_edge_mm(await to_pdf(page, margin_mm=0)) == pytest.approx(0, abs=1)


async def test_lower_scale_fits_more_on_a_sheet(to_pdf: Convert) -> None:
    page = "<p>a line of light</p>" * 200
    full, half = await to_pdf(page), await to_pdf(page, scale_percent=50)
    assert sheet_mm(full) == sheet_mm(half) == (210, 297)
    assert len(pypdfium2.PdfDocument(half)) < len(pypdfium2.PdfDocument(full)) / 1.8
    assert left_edge_mm(half) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("chosen", [{"paper": "B7"}, {"margin_mm": -1}, {"scale_percent": 5}])
async def test_option_out_of_range_is_refused(to_pdf: Convert, chosen: dict[str, Any]) -> None:
    with pytest.raises(BadOptions):
        await to_pdf("<p>x", **chosen)


async def test_progress_names_pages_and_never_falls(to_pdf: Convert) -> None:
    reports: list[tuple[float | None, str]] = []
    await to_pdf("<p style='break-after:page'>x</p>" * 25, report=lambda *entry: reports.append(entry))
    assert (None, "laying out page 20") in reports
    percents = [percent for percent, _ in reports if percent is not None]
    assert percents == sorted(percents)
    assert percents[-1] <= 100


async def test_text_keeps_lists_tables_code_and_checkboxes(
    to_text: Callable[..., Awaitable[str]],
) -> None:
    text = await to_text(
        "<title>no</title><h1>Log</h1><ul><li>one<li>two</ul><table><tr><td>Monday<td>17</tr><tr><td>Tue<td>9</tr>"
        "</table><pre><code>if a:\n    <b>b</b>()</code></pre><script>no()</script><style>p{}</style>"
        "<ul><li><input type=checkbox checked> done</ul><a href='https://example.org/'>more</a>"
    )
    assert "  * one\n  * two" in text
    assert "Monday  17\nTue     9" in text
    assert "if a:\n    b()" in text
    assert "[x] done" in text
    assert "no" not in text
    assert "example.org" not in text


async def test_link_addresses_are_written_on_request(
    to_text: Callable[..., Awaitable[str]],
) -> None:
    assert "https://example.org/" in await to_text("<a href='https://example.org/'>more</a>", links=True)


async def test_page_without_text_is_refused(to_text: Callable[..., Awaitable[str]]) -> None:
    for page in (f"<img src='{RED_DOT}'>", "<script>x</script>", " "):
        with pytest.raises(CorruptSource):
            await to_text(page)


def traps(canary: str, secret: str) -> dict[str, str]:
    """Each way in which a page can refer to something outside."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{canary}/svg"/><use href="file://{secret}#x"/></svg>'
    inner = base64.b64encode(svg.encode()).decode()
    style = base64.b64encode(f"@import url({canary}/inner); p {{ background: url({canary}/b) }}".encode()).decode()
    return {
        "picture": f'<img src="{canary}/i.png"><img srcset="{canary}/s.png 2x">',
        "style": f'<link rel=stylesheet href="{canary}/a.css"><style>@import "{canary}/b.css"; '
        f"p {{ background: url({canary}/c); list-style: url({canary}/d) }} "
        f"@font-face {{ font-family: x; src: url({canary}/font.ttf) }} * {{ font-family: x }}</style>",
        "style in data": f'<link rel=stylesheet href="data:text/css;base64,{style}">',
        "frame": f'<iframe src="{canary}/f"></iframe><object data="{canary}/o"></object><embed src="{canary}/e">',
        "base": f'<base href="{canary}/"><img src="relative.png"><link rel=stylesheet href=x.css>',
        "refresh": f'<meta http-equiv=refresh content="0; url={canary}/r">',
        "script": f'<script src="{canary}/s.js"></script><script>fetch("{canary}/f")</script><img src=x '
        f"onerror=\"fetch('{canary}')\">",
        "drawing": f"{svg}<img src='data:image/svg+xml;base64,{inner}'>",
        "drawing entity": '<img src="data:image/svg+xml;base64,'
        + base64.b64encode(
            f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{secret}">]>'
            '<svg xmlns="http://www.w3.org/2000/svg"><text y="20">&x;</text></svg>'.encode()
        ).decode()
        + '">',
        "attachment": f'<link rel=attachment href="file://{secret}"><a rel=attachment href="file://{secret}">x</a>'
        f'<link rel=attachment href="{canary}/att">',
        "file": f'<img src="file://{secret}"><iframe src="file://{secret}"></iframe>'
        f'<link rel=stylesheet href="file://{secret}"><object data="{secret}"></object><img src="{secret}">',
    }


@pytest.mark.parametrize("name", list(traps("", "")))
async def test_page_fetches_and_reads_nothing(to_pdf: Convert, canary: Canary, tmp_path: Path, name: str) -> None:
    """I13."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    pdf = await to_pdf(f"<p>Visible</p>{traps(canary.url, str(secret))[name]}")
    assert "Visible" in text_of(pdf)
    assert canary.requests == []
    with pikepdf.open(pdf) as opened:
        assert len(opened.attachments) == 0
        streams = [entry.read_bytes() for entry in opened.objects if isinstance(entry, pikepdf.Stream)]
    assert not any(SECRET.encode() in stream for stream in [pdf.read_bytes(), *streams])


async def test_control_unprotected_page_visits_the_canary(canary: Canary) -> None:
    """The same page in WeasyPrint with its default URL fetcher."""
    import weasyprint

    weasyprint.HTML(string=traps(canary.url, "")["picture"]).write_pdf()
    assert any("/i.png" in request for request in canary.requests)


async def test_endless_nesting_is_refused_at_once(to_pdf: Convert, to_text: Callable[..., Awaitable[str]]) -> None:
    for page in ("<div>" * 100_000 + "x", "<b>" * 5_000 + "x"):
        with pytest.raises(SourceTooLarge, match="nested"):
            await to_pdf(page)
        with pytest.raises(SourceTooLarge, match="nested"):
            await to_text(page)
    assert "deep" in text_of(await to_pdf("<div>" * 300 + "deep"))


async def test_too_many_elements_are_refused(to_pdf: Convert) -> None:
    with pytest.raises(SourceTooLarge, match="elements"):
        await to_pdf("<table>" + "<tr><td>1" * 150_000)


async def test_too_many_sheets_are_refused(to_pdf: Convert) -> None:
    limits = Limits(wall_s=60, cpu_s=60, pages=20)
    for page in ("<p style='break-after:page'>x</p>" * 40, "<br>x" * 2_000):
        with pytest.raises(SourceTooLarge, match="20"):
            await to_pdf(page, limits=limits)


async def test_decompression_bomb_picture_is_left_out(to_pdf: Convert) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    pdf = await to_pdf(
        f'<p>Visible</p><img alt="a bomb" src="data:image/png;base64,{base64.b64encode(bomb).decode()}">'
    )
    assert "Visible" in text_of(pdf)
    assert "a bomb" in text_of(pdf)
    with Image.open(await drawn(pdf)) as page:
        assert page.size[0] > 100


async def drawn(pdf: Path) -> Path:
    picture = pdf.with_suffix(".png")
    pypdfium2.PdfDocument(pdf)[0].render(scale=0.5).to_pil().save(picture)
    return picture


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff" * 500, b"<", b"<html", b"<p>\xff\xfe\xfd"])
async def test_rubbish_gives_a_result_or_clear_error(to_pdf: Convert, content: bytes) -> None:
    try:
        pdf = await to_pdf(content)
    except ConversionError as error:
        assert error.public_message
    else:
        assert len(pypdfium2.PdfDocument(pdf)) >= 1


async def test_too_large_page_is_refused_unread(pages: WebPage, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "page.html"
    with source.open("wb") as file:
        file.truncate(300 * 1024**2)
    with pytest.raises(SourceTooLarge, match="256 MB"):
        await run_job(pages, source, "html", "pdf", limits=SHORT)


@pytest.mark.corpus
async def test_corpus_page_keeps_its_text(
    to_pdf: Convert, to_text: Callable[..., Awaitable[str]], corpus: Path
) -> None:
    content = (corpus / "text" / "tika__testHTML.html").read_bytes()
    assert "Indexation du fichier" in text_of(await to_pdf(content))
    assert "Indexation du fichier" in await to_text(content)
