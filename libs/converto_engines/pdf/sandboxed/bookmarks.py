"""Carries bookmarks and links of a PDF over to the copied pages. Needs pikepdf.

Named destinations are resolved in the source document, so that equal names of two documents are not confused.
"""

from typing import Any

import pikepdf

_MAX_DEPTH, _MAX_BOOKMARKS = 12, 20_000


class Bookmark:
    """One outline entry: title, index of its page in the result (None: the page was removed), and children."""

    def __init__(self, title: str, index: int | None) -> None:
        """Create an entry without children."""
        self.title, self.index = title, index
        self.children: list[Bookmark] = []


def read(source: pikepdf.Pdf, places: dict[int, int]) -> list[Bookmark]:
    """Return the bookmarks to pages of `places` (index in the source → in the result) and their ancestors."""
    pages = _Pages(source)
    try:
        with source.open_outline(max_depth=_MAX_DEPTH) as outline:
            return _read(list(outline.root), pages, places, _Budget())
    except (pikepdf.PdfError, pikepdf.OutlineStructureError, ValueError, TypeError, AttributeError, RecursionError):
        return []  # a broken outline is not worth a failed conversion


def write(document: pikepdf.Pdf, bookmarks: list[Bookmark]) -> None:
    """Add these bookmarks to a document."""
    if not bookmarks:
        return
    with document.open_outline() as outline:
        outline.root.extend(_outline_item(document, bookmark) for bookmark in bookmarks)


def links(source: pikepdf.Pdf, indices: list[int]) -> dict[tuple[int, int], int]:
    """Return the target page of each link, by the index of its page and its number on that page."""
    pages, found = _Pages(source), {}
    for index in indices:
        for number, annotation in enumerate(_annotations(source, index)):
            target = pages.index_of(_destination(annotation))
            if target is not None:
                found[index, number] = target
    return found


def fix_links(document: pikepdf.Pdf, links: dict[tuple[int, int], int], places: dict[int, int]) -> None:
    """Point the links of copied pages to the copies."""
    for (index, number), target in links.items():
        annotations = _annotations(document, places[index])
        if target not in places or number >= len(annotations):
            continue
        annotation = annotations[number]
        if "/A" in annotation:
            del annotation["/A"]
        annotation["/Dest"] = pikepdf.make_page_destination(document, places[target], "Fit")


class _Budget:
    def __init__(self) -> None:
        self.left = _MAX_BOOKMARKS


class _Pages:
    """Finds the page index of a destination."""

    def __init__(self, source: pikepdf.Pdf) -> None:
        self._indices = {page.obj.objgen: index for index, page in enumerate(source.pages)}
        self._old = source.Root.get("/Dests")
        names = source.Root.get("/Names")
        tree = names.get("/Dests") if isinstance(names, pikepdf.Dictionary) else None
        self._tree = pikepdf.NameTree(tree) if isinstance(tree, pikepdf.Dictionary) else None

    def index_of(self, destination: Any) -> int | None:
        """Return the page index in the source; None for any other destination."""
        if isinstance(destination, (pikepdf.String, str, pikepdf.Name)):
            destination = self._named(destination)
        if isinstance(destination, pikepdf.Dictionary):
            destination = destination.get("/D")
        if not isinstance(destination, pikepdf.Array) or not len(destination):
            return None
        page = destination[0]
        return self._indices.get(page.objgen) if isinstance(page, pikepdf.Dictionary) else None

    def _named(self, name: Any) -> Any:
        try:
            if isinstance(name, pikepdf.Name):
                return self._old.get(str(name)) if isinstance(self._old, pikepdf.Dictionary) else None
            return self._tree.get(str(name)) if self._tree is not None else None
        except (pikepdf.PdfError, RuntimeError, ValueError):
            return None


def _read(entries: list[Any], pages: _Pages, places: dict[int, int], budget: _Budget) -> list[Bookmark]:
    found = []
    for entry in entries:
        budget.left -= 1
        if budget.left < 0:
            break
        children = _read(list(entry.children), pages, places, budget)
        destination = entry.destination
        if destination is None and entry.action is not None:
            destination = entry.action.get("/D")
        index = pages.index_of(destination)
        place = places.get(index) if index is not None else None
        if place is not None or children:
            bookmark = Bookmark(str(entry.title), place)
            bookmark.children = children
            found.append(bookmark)
    return found


def _outline_item(document: pikepdf.Pdf, bookmark: Bookmark) -> pikepdf.OutlineItem:
    entry = pikepdf.OutlineItem(bookmark.title, bookmark.index)
    entry.children.extend(_outline_item(document, child) for child in bookmark.children)
    return entry


def _annotations(document: pikepdf.Pdf, index: int) -> list[Any]:
    annotations = document.pages[index].obj.get("/Annots")
    return list(annotations) if isinstance(annotations, pikepdf.Array) else []


def _destination(annotation: Any) -> Any:
    if not isinstance(annotation, pikepdf.Dictionary) or annotation.get("/Subtype") != "/Link":
        return None
    action = annotation.get("/A")
    if isinstance(action, pikepdf.Dictionary) and action.get("/S") == "/GoTo":
        return action.get("/D")
    return annotation.get("/Dest")
