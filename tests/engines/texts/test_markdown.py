"""Markdown to a page, to PDF and to text, and hostile Markdown."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pypdfium2
import pytest
from lxml import html
from markdown_it import MarkdownIt

from converto_core.errors import CorruptSource, SourceTooLarge
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.markdown import Markdown
from converto_engines.texts.page_text import PageText
from converto_engines.texts.web_page import WebPage
from tests.assets.notes import notes
from tests.engines.canary import listening
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob
from tests.engines.texts.conftest import ConvertToText

ToPage = Callable[..., Awaitable[str]]


@pytest.fixture
def to_page(sandbox: Sandbox, convert_to_text: ConvertToText) -> ToPage:
    return convert_to_text(Markdown(sandbox), "md", "html")


async def test_page_has_every_kind_of_markup(to_page: ToPage) -> None:
    tree = html.document_fromstring((await to_page(notes())).encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert tree.findtext(".//title") == "Notes from the northern tower"
    assert [heading.text for heading in tree.iter("h2")] == ["To do", "The log of the week", "Turning the lens"]
    assert len(tree.xpath("//table//tr")) == 5
    assert "right" in tree.xpath("//td[text()='12 nm']/@style")[0]
    assert len(tree.xpath("//input[@type='checkbox' and @disabled]")) == 4
    assert len(tree.xpath("//input[@checked]")) == 2
    assert tree.findtext(".//s") == "weekly"
    assert tree.xpath("//a[text()='the log']/@href") == ["#the-log-of-the-week"]
    assert tree.xpath("//h2[@id='the-log-of-the-week']")
    assert 'turns(seconds: float) -> float:\n    """How often' in tree.xpath("//pre")[0].text_content()
    assert "Since the ninth of February" in tree.xpath("//*[@class='footnotes']")[0].text_content()
    assert "keeper: Søren" not in tree.text_content()
    assert "灯台" in tree.text_content()


async def test_bare_addresses_become_links(to_page: ToPage) -> None:
    assert 'href="https://example.org/a"' in await to_page("See https://example.org/a for more.")


async def test_page_has_the_words_a_bare_parser_finds(to_page: ToPage) -> None:
    text = notes().decode().partition("---\n\n")[2].replace("[^lamp]", "").partition("\n: Since")[0]
    words = re.findall(r"\w+", html.document_fromstring(await to_page(text)).find("body").text_content())
    bare = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    assert words == re.findall(r"\w+", re.sub(r"\[[x ]\]", "", html.document_fromstring(bare).text_content()))


async def test_pdf_is_made_from_the_page_with_bookmarks(sandbox: Sandbox, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "notes.md"
    source.write_bytes(notes())
    converters = [Markdown(sandbox), WebPage(sandbox), PageText(sandbox)]
    pdf = await run_chain(run_job, converters, source, ("md", "pdf"), paper="A5")
    document = pypdfium2.PdfDocument(pdf)
    text = "".join(page.get_textpage().get_text_range() for page in document)
    assert "They could not see it" in text
    assert "灯台" in text
    assert [entry.get_title() for entry in document.get_toc()][:2] == ["Notes from the northern tower", "To do"]
    assert document[0].get_size()[0] == pytest.approx(148 / 25.4 * 72, abs=1)

    plain = (await run_chain(run_job, converters, source, ("md", "txt"))).read_text(encoding="utf-8")
    assert "Wednesday  NW, 9" in plain
    assert "[x] Fit the three lenses" in plain
    assert "    return seconds / 30" in plain


async def test_unsafe_html_is_removed(to_page: ToPage) -> None:
    """I13."""
    with listening() as canary:
        page = await to_page(
            "# Safe\n\n<script>bad()</script>\n\n<img src=x onerror='bad()'>\n\n[a](javascript:bad()) <b>bold</b>\n\n"
            f"<iframe src='{canary.url}'></iframe><style>@import url({canary.url})</style>\n\n"
            "<a href='javascript:bad()' onclick='bad()'>b</a> <form action=x><button>c</button></form>\n\n"
            "<svg><script>bad()</script></svg> <a href='data:text/html,<script>bad()</script>'>d</a>\n\n"
            "![pic](data:text/html;base64,PHNjcmlwdD4=) <meta http-equiv=refresh content=0> <base href='//x/'>\n\n"
            "<td style='text-align:right;background:url(http://x/)'>e</td> <input type=text name=password>"
        )
        assert canary.requests == []
    body = page.partition("<body>")[2]
    assert "<b>bold</b>" in body
    forbidden = (
        r"<(script|iframe|style|form|button|svg|meta|base|object)\b|\son\w+=|href=.javascript|src=.data:text|href=.data"
    )
    assert re.findall(forbidden, body, re.IGNORECASE) == []
    assert "background" not in body
    assert "password" not in body


async def test_markup_in_the_title_is_text(to_page: ToPage) -> None:
    page = await to_page("# `</title><script>bad()</script>`")
    assert "<script" not in page
    assert "&lt;/title&gt;" in page.partition("</title>")[0]


@pytest.mark.parametrize(
    "text", ["> " * 20_000 + "x", "[" * 20_000, "*a " * 20_000, "- " * 5_000 + "x", "`" * 30_001, "<div>" * 20_000]
)
async def test_endless_nesting_gives_a_page_or_clear_error(to_page: ToPage, text: str) -> None:
    try:
        page = await to_page(text)
    except (CorruptSource, SourceTooLarge) as error:
        assert error.public_message
    else:
        assert "</html>" in page


@pytest.mark.parametrize("content", [b"", b"   \n", b"---\nonly: front\n---\n", b"abc\0def"])
async def test_markdown_without_text_is_refused(to_page: ToPage, content: bytes) -> None:
    with pytest.raises(CorruptSource):
        await to_page(content)


async def test_markdown_in_other_encodings_is_decoded(to_page: ToPage) -> None:
    assert "Øresund" in await to_page("Øresund".encode("windows-1252"))
    assert "Øresund" in await to_page("Øresund".encode("utf-16"))


async def test_too_large_markdown_is_refused(sandbox: Sandbox, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "large.md"
    with source.open("wb") as file:
        file.truncate(17 * 1024**2)
    with pytest.raises(SourceTooLarge):
        await run_job(Markdown(sandbox), source, "md", "html")


@pytest.mark.parametrize(("title", "shown"), [("Plan B", "Plan B"), ("", "Document")])
async def test_text_without_heading_is_named_after_its_file(to_page: ToPage, title: str, shown: str) -> None:
    assert f"<title>{shown}</title>" in await to_page("just words", title=title)
