"""Bookmarks and links of a PDF, carried over to where its pages went. Runs sandboxed; needs pikepdf.

Named places are looked up once, so that names of two documents cannot be taken for each other.
"""

from typing import Any

import pikepdf

_NESTED, _MOST = 12, 20_000


class Bookmark:
    """One line of the outline: title, index of its page in the result (None: it is gone), those below."""

    def __init__(self, title: str, index: int | None) -> None:
        """Start without any below it."""
        self.title, self.index = title, index
        self.below: list[Bookmark] = []


def read(source: pikepdf.Pdf, places: dict[int, int]) -> list[Bookmark]:
    """The bookmarks that lead to pages of `places` (index in the source → in the result), and those above them."""
    pages = _Pages(source)
    try:
        with source.open_outline(max_depth=_NESTED) as outline:
            return _read(list(outline.root), pages, places, _Budget())
    except (pikepdf.PdfError, pikepdf.OutlineStructureError, ValueError, TypeError, AttributeError, RecursionError):
        return []  # a broken outline is not worth a failed conversion


def write(document: pikepdf.Pdf, bookmarks: list[Bookmark]) -> None:
    """Give a document these bookmarks."""
    if not bookmarks:
        return
    with document.open_outline() as outline:
        outline.root.extend(_made(document, bookmark) for bookmark in bookmarks)


def links(source: pikepdf.Pdf, indices: list[int]) -> dict[tuple[int, int], int]:
    """Which page each link leads to, by index of its page and its number there."""
    pages, found = _Pages(source), {}
    for index in indices:
        for number, annotation in enumerate(_annotations(source, index)):
            target = pages.index_of(_destination(annotation))
            if target is not None:
                found[index, number] = target
    return found


def mend_links(document: pikepdf.Pdf, links: dict[tuple[int, int], int], places: dict[int, int]) -> None:
    """Let the links of copied pages lead to the copies."""
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
        self.left = _MOST


class _Pages:
    """Finds the index of the page that a destination means."""

    def __init__(self, source: pikepdf.Pdf) -> None:
        self._indices = {page.obj.objgen: index for index, page in enumerate(source.pages)}
        self._old = source.Root.get("/Dests")
        names = source.Root.get("/Names")
        tree = names.get("/Dests") if isinstance(names, pikepdf.Dictionary) else None
        self._tree = pikepdf.NameTree(tree) if isinstance(tree, pikepdf.Dictionary) else None

    def index_of(self, destination: Any) -> int | None:
        """The index in the source, or None for anything but a page of it."""
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


def _read(items: list[Any], pages: _Pages, places: dict[int, int], budget: _Budget) -> list[Bookmark]:
    found = []
    for entry in items:
        budget.left -= 1
        if budget.left < 0:
            break
        below = _read(list(entry.children), pages, places, budget)
        destination = entry.destination
        if destination is None and entry.action is not None:
            destination = entry.action.get("/D")
        index = pages.index_of(destination)
        place = places.get(index) if index is not None else None
        if place is not None or below:
            bookmark = Bookmark(str(entry.title), place)
            bookmark.below = below
            found.append(bookmark)
    return found


def _made(document: pikepdf.Pdf, bookmark: Bookmark) -> pikepdf.OutlineItem:
    made = pikepdf.OutlineItem(bookmark.title, bookmark.index)
    made.children.extend(_made(document, below) for below in bookmark.below)
    return made


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
