"""Turns the chapters of a book into parts of one page: links lead within it, pictures lie inside, nothing runs.

It runs inside the sandbox.
"""

import base64
import html.entities
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from converto_engines.runtime.sandboxed.archive import Archive
from converto_engines.runtime.sandboxed.protocol import Refused
from converto_engines.texts.sandboxed.decoding import decoded
from converto_engines.texts.sandboxed.html_document import cleaned

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[[^\]]*\][^>]*)?>", re.IGNORECASE)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding=["']([A-Za-z0-9._-]+)["']""")
_KINDS = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
)
_NO_TEXT = frozenset({"script", "style", "head", "title"})


class Chapters:
    """All chapters of a book on their way into one page."""

    def __init__(self, archive: Archive, names: list[str], *, most_bytes: int) -> None:
        """Take the members that are chapters, in order, and how large the page may become."""
        self._archive, self._names, self._left = archive, names, most_bytes
        self._numbers = {name: number for number, name in enumerate(names)}
        self._pictures: dict[str, str] = {}
        self.characters = 0
        """What the chapters read so far hold, blanks left out."""

    def body(self, number: int) -> str:
        """One chapter as a clean section."""
        name = self._names[number]
        tree = _parsed(self._archive.read(name)) if not _is_picture(name) else None
        inner = cleaned(self._prepared(tree, name)) if tree is not None else self._whole_picture(name)
        self._spend(len(inner))
        return f'<section class="chapter" id="c{number}">\n{inner}\n</section>'

    def anchor(self, member: str, fragment: str) -> str | None:
        """The id on the page of a place in a chapter."""
        number = self._numbers.get(member)
        if number is None:
            return None
        return f"c{number}-{fragment}" if re.fullmatch(r"[\w.:-]+", fragment) else f"c{number}"

    def _prepared(self, tree: Any, name: str) -> str:
        from lxml import etree  # noqa: PLC0415 -- found only after the packages are named

        number = self._numbers[name]
        for element in list(tree.iter()):
            if not isinstance(element.tag, str):
                continue
            element.tag = element.tag.rpartition("}")[2].lower()
            if own := element.get("id"):
                element.set("id", f"c{number}-{own}")
            if element.tag == "a" and element.get("href"):
                self._lead(element, name)
            if element.tag in {"img", "image"}:
                self._show(element, name)
        etree.cleanup_namespaces(tree)
        etree.strip_elements(tree, "head", "script", "style", with_tail=False)
        self.characters += sum(len("".join(part.split())) for part in tree.itertext())
        # Written as HTML: an empty element of XML would swallow what follows it.
        markup: str = etree.tostring(tree, encoding="unicode", method="html")
        return markup

    def _lead(self, link: Any, name: str) -> None:
        """A link within the book leads to its place on the page; one out of the book stays."""
        reference = link.get("href").strip()
        try:
            parts = urlsplit(reference)
        except ValueError:
            link.attrib.pop("href")
            return
        if parts.scheme:
            return
        member = self._archive.resolve(name, reference) if parts.path else name
        anchor = self.anchor(member, unquote(parts.fragment)) if member else None
        if anchor is None:
            link.attrib.pop("href")
        else:
            link.set("href", f"#{anchor}")

    def _show(self, picture: Any, name: str) -> None:
        """A picture of the book goes into the page; one from elsewhere leaves its name only."""
        linked = next((value for key, value in picture.attrib.items() if key.rpartition("}")[2] == "href"), "")
        member = self._archive.resolve(name, picture.get("src") or linked)
        size = {key: picture.get(key) for key in ("id", "alt", "class") if picture.get(key)}
        picture.attrib.clear()
        picture.tag = "img"  # also in place of a drawing that only holds one picture, as covers often are
        for key, value in size.items():
            picture.set(key, value)
        if member is not None and (inside := self._picture(member)):
            self._spend(len(inside))
            picture.set("src", inside)

    def _picture(self, member: str) -> str:
        if member not in self._pictures:
            content = self._archive.read(member)
            kind = _picture_kind(content)
            encoded = base64.b64encode(content).decode() if kind else ""
            self._pictures[member] = f"data:image/{kind};base64,{encoded}" if kind else ""
        return self._pictures[member]

    def _whole_picture(self, name: str) -> str:
        source = self._picture(name)
        return cleaned(f'<p><img src="{source}" alt=""></p>') if source else ""

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Refused("too_large", "The book would become too large a page. Please take a smaller edition")


def _parsed(content: bytes) -> Any:
    """A chapter as a tree: as the XML it should be, else as the HTML that browsers make of it."""
    from lxml import etree  # noqa: PLC0415
    from lxml import html as html_reader  # noqa: PLC0415

    text = _ENTITY.sub(_character, _DOCTYPE.sub("", _DECLARATION.sub("", _text_of(content), count=1), count=1))
    xml = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), xml)
    except (etree.LxmlError, ValueError):
        lenient = html_reader.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return html_reader.document_fromstring(text.encode("utf-8", "replace") or b"<p></p>", parser=lenient)
    except (etree.LxmlError, ValueError) as error:
        raise Refused("corrupt", "The book is damaged: a chapter cannot be read") from error


def _text_of(content: bytes) -> str:
    declared = _ENCODING.match(content)
    if declared:
        try:
            return content.decode(declared.group(1).decode())
        except (LookupError, UnicodeDecodeError):
            pass
    return decoded(content)


def _character(entity: re.Match[str]) -> str:
    """The names of characters that HTML knows; others stay as they are written, for no DTD is read."""
    name = entity.group(1)
    if name in _OF_XML:
        return entity.group(0)
    return html.entities.html5.get(f"{name};") or f"&amp;{name};"


def _is_picture(name: str) -> bool:
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp"))


def _picture_kind(content: bytes) -> str | None:
    for mark, kind in _KINDS:
        if content.startswith(mark):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return "svg+xml" if b"<svg" in content[:4096] else None
