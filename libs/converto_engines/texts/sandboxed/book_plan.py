"""Reads the package document of an EPUB: title, chapters in reading order, table of contents, and DRM.

XML is parsed without DTDs, entities and network access.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from converto_engines.runtime.sandboxed.archive import Archive
from converto_engines.runtime.sandboxed.protocol import Refused

_CONTAINER = "META-INF/container.xml"
_DRM_MEMBERS = ("META-INF/rights.xml", "META-INF/sinf.xml")
_FONT_OBFUSCATION = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_PAGE_TYPES = frozenset(
    {"application/xhtml+xml", "text/html", "text/xml", "application/xml", "application/x-dtbook+xml"}
)
_MAX_BOOKMARK_LEVEL = 6
_MAX_BOOKMARKS = 10_000


@dataclass(frozen=True)
class ContentsEntry:
    """One entry of the table of contents; `level` counts from 1."""

    level: int
    label: str
    member: str
    fragment: str


@dataclass(frozen=True)
class Plan:
    """A book as its package document describes it; `chapters` are archive members in reading order."""

    title: str
    language: str
    chapters: list[str] = field(default_factory=list)
    contents: str | None = None


def read_plan(archive: Archive) -> Plan:
    """Return the plan of a book; refuses books with DRM and books whose parts are missing."""
    _refuse_drm(archive)
    if _CONTAINER not in archive:
        raise Refused("corrupt", f"The book is damaged: {_CONTAINER} is missing")
    roots = _named(read_xml(archive, _CONTAINER), "rootfile")
    package = next((path for root in roots if (path := unquote(root.get("full-path") or "")) in archive), None)
    if package is None:
        raise Refused("corrupt", "The book is damaged: its package document is missing")
    tree = read_xml(archive, package)
    listed = {
        part.get("id", ""): (member, part.get("media-type", ""), part.get("properties", ""))
        for part in _named(tree, "item")
        if (member := archive.resolve(package, part.get("href") or "")) is not None
    }
    order = [listed[name] for part in _named(tree, "itemref") if (name := part.get("idref", "")) in listed]
    chapters = list(
        dict.fromkeys(member for member, kind, _ in order if kind in _PAGE_TYPES or kind.startswith("image/"))
    )
    if not chapters:
        raise Refused("corrupt", "The book is damaged: none of its chapters can be found")
    return Plan(_first(tree, "title"), _first(tree, "language"), chapters, _contents_of(tree, listed))


def read_contents(archive: Archive, plan: Plan) -> list[ContentsEntry]:
    """Return the book's table of contents (EPUB 3 `nav` or EPUB 2 NCX), empty without a readable one."""
    if plan.contents is None:
        return []
    tree = read_xml(archive, plan.contents)
    links = _ncx_links(tree) if _named(tree, "navMap") else _nav_links(tree)
    entries = []
    for level, label, reference in itertools.islice(links, _MAX_BOOKMARKS):
        member = archive.resolve(plan.contents, reference)
        if member is not None and label:
            entries.append(ContentsEntry(level, label, member, unquote(urlsplit(reference.strip()).fragment)))
    return entries


def read_xml(archive: Archive, name: str) -> Any:
    """Parse a member of the archive, recovering what can be read of damaged XML."""
    from lxml import etree  # noqa: PLC0415 -- importable only once `packages` are on the path

    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, recover=True, remove_comments=True, remove_pis=True
    )
    try:
        tree = etree.fromstring(archive.read(name), parser)
    except (etree.LxmlError, ValueError) as error:
        raise Refused("corrupt", "The book is damaged") from error
    if tree is None:
        raise Refused("corrupt", "The book is damaged")
    return tree


def _refuse_drm(archive: Archive) -> None:
    locked = "The book is protected by DRM. Use a copy without DRM"
    if any(name in archive for name in _DRM_MEMBERS):
        raise Refused("encrypted", locked)
    if "META-INF/encryption.xml" in archive:
        for entry in _named(read_xml(archive, "META-INF/encryption.xml"), "EncryptedData"):
            methods = {method.get("Algorithm") for method in _named(entry, "EncryptionMethod")}
            if not methods or not methods <= _FONT_OBFUSCATION:
                raise Refused("encrypted", locked)


def _contents_of(tree: Any, listed: dict[str, tuple[str, str, str]]) -> str | None:
    for member, _, properties in listed.values():
        if "nav" in properties.split():
            return member
    for spine in _named(tree, "spine"):
        if (name := spine.get("toc", "")) in listed:
            return listed[name][0]
    return next((member for member, kind, _ in listed.values() if kind == "application/x-dtbncx+xml"), None)


def _ncx_links(tree: Any) -> Iterator[tuple[int, str, str]]:
    for point in _named(tree, "navPoint"):
        level = 1 + sum(1 for above in point.iterancestors() if _local(above) == "navPoint")
        label = next((_text(text) for text in _named(point, "text")), "")
        source = next((content.get("src") or "" for content in _named(point, "content")), "")
        yield min(level, _MAX_BOOKMARK_LEVEL), label, source


def _nav_links(tree: Any) -> Iterator[tuple[int, str, str]]:
    navs = _named(tree, "nav")
    chosen = next((nav for nav in navs if "toc" in "".join(nav.attrib.values()).split()), navs[0] if navs else None)
    for link in _named(chosen, "a") if chosen is not None else ():
        level = sum(1 for above in link.iterancestors() if _local(above) == "ol")
        yield min(max(level, 1), _MAX_BOOKMARK_LEVEL), _text(link), link.get("href") or ""


def _named(tree: Any, name: str) -> list[Any]:
    """Return the elements with this local name in any namespace, because many books get namespaces wrong."""
    return [element for element in tree.iter() if _local(element) == name]


def _local(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _first(tree: Any, name: str) -> str:
    return next((text for element in _named(tree, name) if (text := _text(element))), "")


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())[:200]
