"""Turns the chapters of a book into sections of one page: links point into it, pictures are embedded, nothing runs."""

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
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding=["']([A-Za-z0-9._-]+)["']""")
_PICTURE_MAGIC = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
)


class Chapters:
    """Converts the chapters of one book to sections of one page."""

    def __init__(self, archive: Archive, names: list[str], *, max_bytes: int) -> None:
        """`names` are the chapters' members in reading order, `max_bytes` limits the page."""
        self._archive, self._names, self._bytes_left = archive, names, max_bytes
        self._numbers = {name: number for number, name in enumerate(names)}
        self._pictures: dict[str, str] = {}
        self.characters = 0
        """Number of characters in the chapters read so far, without white space."""

    def body(self, number: int) -> str:
        """Return one chapter as a sanitised section."""
        name = self._names[number]
        tree = _parsed(self._archive.read(name)) if not _is_picture(name) else None
        inner = cleaned(self._prepared(tree, name)) if tree is not None else self._whole_picture(name)
        self._spend(len(inner))
        return f'<section class="chapter" id="c{number}">\n{inner}\n</section>'

    def anchor(self, member: str, fragment: str) -> str | None:
        """Return the id on the page for a fragment of a chapter; None when the member is no chapter."""
        number = self._numbers.get(member)
        if number is None:
            return None
        return f"c{number}-{fragment}" if re.fullmatch(r"[\w.:-]+", fragment) else f"c{number}"

    def _prepared(self, tree: Any, name: str) -> str:
        from lxml import etree  # noqa: PLC0415 -- importable only once `packages` are on the path

        number = self._numbers[name]
        for element in list(tree.iter()):
            if not isinstance(element.tag, str):
                continue
            element.tag = element.tag.rpartition("}")[2].lower()
            if own := element.get("id"):
                element.set("id", f"c{number}-{own}")
            if element.tag == "a" and element.get("href"):
                self._rewrite_link(element, name)
            if element.tag in {"img", "image"}:
                self._embed_picture(element, name)
        etree.cleanup_namespaces(tree)
        etree.strip_elements(tree, "head", "script", "style", with_tail=False)
        self.characters += sum(len("".join(part.split())) for part in tree.itertext())
        # Serialised as HTML, because an HTML parser takes an empty XML element for an open tag.
        markup: str = etree.tostring(tree, encoding="unicode", method="html")
        return markup

    def _rewrite_link(self, link: Any, name: str) -> None:
        """Point a link within the book at its place on the page; links out of the book stay."""
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

    def _embed_picture(self, picture: Any, name: str) -> None:
        """Embed a picture of the book; of any other picture, only the alternative text stays."""
        linked = next((value for key, value in picture.attrib.items() if key.rpartition("}")[2] == "href"), "")
        member = self._archive.resolve(name, picture.get("src") or linked)
        kept = {key: picture.get(key) for key in ("id", "alt", "class") if picture.get(key)}
        picture.attrib.clear()
        picture.tag = "img"  # SVG `image` too: covers are often a drawing that holds one picture
        for key, value in kept.items():
            picture.set(key, value)
        if member is not None and (url := self._data_url(member)):
            self._spend(len(url))
            picture.set("src", url)

    def _data_url(self, member: str) -> str:
        if member not in self._pictures:
            content = self._archive.read(member)
            kind = _picture_kind(content)
            encoded = base64.b64encode(content).decode() if kind else ""
            self._pictures[member] = f"data:image/{kind};base64,{encoded}" if kind else ""
        return self._pictures[member]

    def _whole_picture(self, name: str) -> str:
        source = self._data_url(name)
        return cleaned(f'<p><img src="{source}" alt=""></p>') if source else ""

    def _spend(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise Refused("too_large", "The page made from the book would be too large. Use a smaller edition")


def _parsed(content: bytes) -> Any:
    """Parse a chapter as XML, or as HTML like browsers do when it is not well-formed."""
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
    """Resolve HTML's named characters; other entities stay as written, because no DTD is read."""
    name = entity.group(1)
    if name in _XML_ENTITIES:
        return entity.group(0)
    return html.entities.html5.get(f"{name};") or f"&amp;{name};"


def _is_picture(name: str) -> bool:
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp"))


def _picture_kind(content: bytes) -> str | None:
    for mark, kind in _PICTURE_MAGIC:
        if content.startswith(mark):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return "svg+xml" if b"<svg" in content[:4096] else None
