"""The page `docs/formats.md`: what each route keeps and what it loses, from the offers of the converters."""

from collections.abc import Iterator, Sequence

from converto_core.catalogue import Offer
from converto_core.formats import BY_NAME, Family
from converto_engines import planner
from converto_engines.planner import Route
from deploy.local.home import REPOSITORY

PAGE = REPOSITORY / "docs" / "formats.md"
KEPT = {
    "libreoffice": "pages, slides or sheets with their text, pictures and layout",
    "keynote": "slides as they look in the preview that is stored in the file",
    "office-documents": "text, tables, pictures and styles",
    "office-text": "the text",
    "office-slides": "slides with their text, shapes and pictures",
    "office-sheets": "all sheets with their values and formulas",
    "office-table": "the values of a sheet",
    "office-sheet-text": "the values of all sheets",
    "pdf-pages": "the look of each page",
    "pdf-document": "pages with their text, pictures and links",
    "pdf-drawings": "the look of each page, as shapes that can be enlarged",
    "pdf-text": "the text",
    "vips": "size and colours; transparency, and the movement of GIF and WebP, where the target holds them",
    "picture-page": "the picture, on a page of its size",
    "video": "all frames with their times, the sound, chapters and subtitles that are text",
    "video-gif": "movement",
    "video-frame": "one frame in its full size",
    "sound": "the whole sound; title and artist where the target holds them",
    "mesh": "shape and size, triangle by triangle",
    "cad": "shape and size; exact surfaces where both formats hold them",
    "model-preview": "a view of the model",
    "web-page": "text, layout, links, and the pictures inside the file",
    "page-text": "the text",
    "markdown": "text, headings, lists, tables, links and code",
    "book": "all chapters in order, with text, tables and pictures",
    "csv-json": "every row, its cells named by the header",
    "json-csv": "every entry as a row",
    "srt-vtt": "every subtitle with its times",
    "vtt-srt": "every subtitle with its times",
}
"""What a converter keeps, by name. A chain keeps what its step with the largest loss keeps."""

_INTRODUCTION = """\
# What each conversion keeps and loses

This page is written by `make readme` from the converters of one installation. `converto plan deck.pptx --to png`
tells the same of yours. Where no single converter makes the target, steps are chained, and each adds its losses.
A target that is not listed for a source is not offered. What a certain file loses is told with its result (`notes`).
"""
_HEAD = "| from | to | by way of | keeps | loses |\n|---|---|---|---|---|"
_TITLES = {
    Family.OFFICE: "Documents, decks, tables and texts",
    Family.PDF: "PDF",
    Family.IMAGE: "Pictures",
    Family.VIDEO: "Videos",
    Family.AUDIO: "Sound",
    Family.MODEL: "Models",
}
_Row = tuple[tuple[str, ...], str, str, str]
"""The targets of a source that are equal in the other cells: by way of, keeps, loses."""


def page(offers: Sequence[Offer]) -> str:
    """The whole page; raises `KeyError` for a converter without an entry in `KEPT`."""
    routes = planner.routes(offers)
    parts = [_section(family, [route for route in routes if _family(route) is family], offers) for family in Family]
    return "\n".join([_INTRODUCTION, *parts])


def _family(route: Route) -> Family:
    return BY_NAME[route.source].family


def _section(family: Family, routes: Sequence[Route], offers: Sequence[Offer]) -> str:
    by_row: dict[_Row, list[str]] = {}
    for source in dict.fromkeys(route.source for route in routes):
        own = [route for route in routes if route.source == source]
        for row in _rows(own, offers):
            by_row.setdefault(row, []).append(source)
    lines = [
        f"| {' '.join(sources)} | {' '.join(targets)} | {' | '.join(cells)} |"
        for (targets, *cells), sources in by_row.items()
    ]
    return "\n".join([f"## {_TITLES[family]}", "", _HEAD, *lines, ""])


def _rows(routes: Sequence[Route], offers: Sequence[Offer]) -> Iterator[_Row]:
    by_cells: dict[tuple[str, str, str], list[str]] = {}
    for route in routes:
        by_cells.setdefault(_cells(route, offers), []).append(route.target)
    for (via, kept, lost), targets in by_cells.items():
        yield tuple(sorted(targets)), via, kept, lost


def _cells(route: Route, offers: Sequence[Offer]) -> tuple[str, str, str]:
    loss = {offer.converter: offer.loss for offer in offers}
    lossiest = max(route.steps, key=lambda step: loss[step.converter])
    via = " ".join(step.target_format for step in route.steps[:-1])
    lost = "; ".join(text.replace("|", "/") for text in planner.losses_of(route.steps, offers))
    return via or "–", KEPT[lossiest.converter], lost or "nothing known"
