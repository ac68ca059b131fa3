"""EPUB books to a page, to PDF and to text, and hostile books; code generates the samples."""

import io
import re
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pypdfium2
import pytest
from lxml import html

from converto_core.errors import ConversionError, CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.book import Book
from converto_engines.texts.page_text import PageText
from converto_engines.texts.web_page import WebPage
from tests.assets.book import book
from tests.engines.canary import listening
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob
from tests.engines.texts.conftest import ConvertToText

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="p.opf" '
    'media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest>'
    '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
    "</package>"
)
SECRET = "the-secret-of-another-file"

ToPage = Callable[..., Awaitable[str]]


def epub(chapter: str = "<html><body><p>Visible</p></body></html>", **parts: str | bytes) -> bytes:
    """A book of one chapter; `parts` adds or replaces members, a member name's slashes written as two underscores."""
    whole = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER, "p.opf": PACKAGE}
    members = {**whole, "a.xhtml": chapter, **{name.replace("__", "/"): body for name, body in parts.items()}}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as package:
        for name, body in members.items():
            package.writestr(name, body)
    return written.getvalue()


@pytest.fixture
def to_page(sandbox: Sandbox, convert_to_text: ConvertToText) -> ToPage:
    return convert_to_text(Book(sandbox), "epub", "html")


async def test_page_has_chapters_links_and_pictures(to_page: ToPage) -> None:
    tree = html.document_fromstring((await to_page(book())).encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert tree.findtext(".//title") == "The Keeper's Year"
    assert [heading.text for heading in tree.iter("h1")] == ["Contents", "Winter", "Spring", "Summer"]
    (link,) = tree.xpath("//a[starts-with(., 'what is done')]/@href")
    assert tree.xpath(f"//*[@id='{link[1:]}']")[0].text == "Paint"
    assert all(tree.xpath(f"//*[@id='{reference[1:]}']") for reference in tree.xpath("//a/@href"))
    (picture,) = tree.xpath("//img")
    assert picture.get("src").startswith("data:image/png;base64,")
    assert picture.get("alt") == "Three overlapping discs"
    assert "灯台" in tree.text_content()


async def test_pdf_bookmarks_are_the_books_contents(sandbox: Sandbox, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "book.epub"
    source.write_bytes(book())
    converters = [Book(sandbox), WebPage(sandbox), PageText(sandbox)]
    document = pypdfium2.PdfDocument(await run_chain(run_job, converters, source, ("epub", "pdf"), paper="A5"))
    entries = [(entry.level, entry.get_title(), entry.get_dest().get_index()) for entry in document.get_toc()]
    assert entries == [
        (0, "Winter", 1),
        (1, "Ice on the gallery", 1),
        (0, "Spring", 2),
        (0, "Summer", 3),
        (1, "Paint", 3),
    ]
    assert len(document) == 4
    texts = [page.get_textpage().get_text_range() for page in document]
    assert "half past three" in texts[1]
    assert "Lapwing" in texts[2]
    assert any(entry.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE for entry in document[2].get_objects())

    plain = (await run_chain(run_job, converters, source, ("epub", "txt"))).read_text(encoding="utf-8")
    assert plain.index("half past three") < plain.index("Lapwing  9 March") < plain.index("paint, twice")


async def test_ncx_contents_of_an_older_book_are_read(to_page: ToPage) -> None:
    package = PACKAGE.replace(
        "</manifest><spine>",
        '<item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest><spine toc="n">',
    )
    point = '<navPoint><navLabel><text>{}</text></navLabel><content src="{}"/>{}</navPoint>'
    points = point.format("One", "a.xhtml", point.format("In it", "a.xhtml#here", ""))
    contents = f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>'
    page = await to_page(
        epub('<html><body><p id="here">Visible</p></body></html>', **{"p.opf": package, "toc.ncx": contents})
    )
    assert re.findall(r'\[id="(.*?)"\] \{ bookmark-level: (\d)', page) == [("c0", "1"), ("c0-here", "2")]


@pytest.mark.parametrize(
    ("chapter", "found"),
    [
        ("<html><head><title/></head><body><p>a<a id='x'/>b&nbsp;c</p></body></html>", "ab\xa0c"),
        ("<html><body><p>never closed <b>bold", "never closed bold"),
        ('<?xml version="1.0" encoding="latin1"?><html><body>&eacute;t&#233; &unknown;</body></html>', "été &unknown;"),
        ("<p>fragment", "fragment"),
    ],
)
async def test_malformed_chapter_keeps_its_words(to_page: ToPage, chapter: str, found: str) -> None:
    tree = html.document_fromstring((await to_page(epub(chapter))).encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert found in tree.find("body").text_content()


async def test_nothing_in_a_book_runs_or_is_fetched(
    sandbox: Sandbox, run_job: RunJob, to_page: ToPage, tmp_path: Path
) -> None:
    """I13."""
    secret = tmp_path / "secret.png"
    secret.write_text(f"\x89PNG {SECRET}")
    with listening() as canary:
        content = epub(
            f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY y SYSTEM "{canary.url}/e">]>'
            f'<html xmlns:xi="http://www.w3.org/2001/XInclude"><head><link rel="stylesheet" href="{canary.url}/c"/>'
            f'<script src="{canary.url}/s"/></head><body onload="bad()"><p>Visible &x; &y;</p>'
            f'<img src="{canary.url}/i.png"/><img src="file://{secret}"/><img src="../../../../..{secret}"/>'
            f'<img src="/{secret}"/><iframe src="{canary.url}/f"/><xi:include href="file://{secret}" parse="text"/>'
            f'<style>@import url({canary.url}/st)</style><svg><image href="{canary.url}/sv"/></svg>'
            '<a href="javascript:bad()">a</a><object data="b"/></body></html>'
        )
        page = await to_page(content)
        source = tmp_path / "trap.epub"
        source.write_bytes(content)
        pdf = await run_chain(run_job, [Book(sandbox), WebPage(sandbox)], source, ("epub", "pdf"))
        assert canary.requests == []
    body = page.partition("<body>")[2]
    assert "Visible" in body
    assert re.findall(r"<(script|iframe|style|object|svg)\b|\son\w+=|javascript:|src=.http", body) == []
    assert SECRET not in page
    assert SECRET.encode() not in pdf.read_bytes()


async def test_entities_in_package_documents_are_not_resolved(to_page: ToPage, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    package = PACKAGE.replace("<metadata/>", "<metadata><title>Title &x;</title></metadata>")
    page = await to_page(epub(**{"p.opf": f'<!DOCTYPE package [<!ENTITY x SYSTEM "file://{secret}">]>{package}'}))
    assert "<title>Title" in page
    assert SECRET not in page

    bomb = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 20))
    doctype = f'<!DOCTYPE package [<!ENTITY e0 "ha">{bomb}]>'
    with pytest.raises(CorruptSource):
        await to_page(epub(**{"p.opf": doctype + package.replace("&x;", "&e19;")}))


async def test_zip_bomb_is_refused(to_page: ToPage) -> None:
    with pytest.raises(SourceTooLarge, match="times its size"):
        await to_page(epub(**{"bomb.bin": bytes(50 * 1024**2)}))
    with pytest.raises(SourceTooLarge, match="unpack"):
        await to_page(epub(**{"b.bin": bytes(2 * 1024**2)}), limits=Limits(wall_s=30, unpacked_bytes=1024**2))
    many = {f"f{number}": b"" for number in range(60)}
    with pytest.raises(SourceTooLarge, match="parts"):
        await to_page(epub(**many), limits=Limits(wall_s=30, entries=50))


async def test_picture_repeated_a_thousand_times_is_refused(to_page: ToPage) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4_000
    with pytest.raises(SourceTooLarge, match="would be too large"):
        await to_page(epub("<html><body>" + '<img src="pic.png"/>' * 1_000 + "</body></html>", **{"pic.png": picture}))


async def test_drm_or_password_is_refused(to_page: ToPage) -> None:
    entry = '<encryption><EncryptedData><EncryptionMethod Algorithm="{}"/></EncryptedData></encryption>'
    locked = entry.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc")
    for parts in ({"META-INF__encryption.xml": locked}, {"META-INF__rights.xml": "<rights/>"}):
        with pytest.raises(EncryptedSource, match="DRM"):
            await to_page(epub(**parts))
    scrambled = entry.format("http://www.idpf.org/2008/embedding")
    assert "Visible" in await to_page(epub(**{"META-INF__encryption.xml": scrambled}))
    content = bytearray(epub())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + offset] |= 1
    with pytest.raises(EncryptedSource):
        await to_page(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no zip",
        book()[: len(book()) // 2],
        epub(**{"p.opf": "<package/>"}),
        epub(**{"p.opf": "no xml"}),
        epub(**{"META-INF__container.xml": CONTAINER.replace("p.opf", "../../etc/passwd")}),
        epub("<html><body></body></html>"),
        epub("<html><body>" + "<div>" * 3_000 + "x</body></html>"),
    ],
)
async def test_broken_book_is_refused(to_page: ToPage, content: bytes) -> None:
    with pytest.raises((CorruptSource, SourceTooLarge)) as refusal:
        await to_page(content)
    assert "/" not in refusal.value.public_message


async def test_flipped_bytes_give_a_result_or_clear_error(to_page: ToPage) -> None:
    content = bytearray(book())
    for place in range(60, len(content), len(content) // 5):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        try:
            assert "</html>" in await to_page(bytes(flipped))
        except ConversionError as error:
            assert not error.retryable


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tika__testEPUB.epub", ("This is the text for chapter One", "Table data")),
        ("tika__testEPUB_xml_ext.epub", ("It was a bright cold day in April", "Part 1")),
    ],
)
async def test_corpus_book_pdf_has_its_words(
    sandbox: Sandbox, run_job: RunJob, corpus: Path, name: str, words: tuple[str, ...]
) -> None:
    pdf = await run_chain(run_job, [Book(sandbox), WebPage(sandbox)], corpus / "epub" / name, ("epub", "pdf"))
    text = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf))
    assert all(word in " ".join(text.split()) for word in words)


@pytest.mark.parametrize(("title", "shown"), [("Plan B", "Plan B"), ("", "Book")])
async def test_book_without_title_is_named_after_its_file(to_page: ToPage, title: str, shown: str) -> None:
    assert f"<title>{shown}</title>" in await to_page(epub(), title=title)
