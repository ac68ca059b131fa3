"""Takes out of a PDF what runs, sends or hides, and what tells of its author. Runs sandboxed; needs pikepdf."""

from collections.abc import Iterator
from typing import Any

import pikepdf

_RUNNING = {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/Rendition", "/Movie", "/Sound", "/GoToE"}
"""Actions that run a script, start a program, send what was typed in, or open what is embedded."""
_CARRIERS = {"/FileAttachment", "/RichMedia", "/Screen", "/Movie", "/Sound", "/3D"}
_TRIGGERS = ("/AA", "/EF", "/AF", "/XFA")
"""Additional actions; the files inside file specifications; associated files; forms that are programs."""
_NESTED = 50


def sanitize(pdf: pikepdf.Pdf) -> None:
    """Remove scripts, actions that reach outside, and embedded files; links to pages and web addresses stay."""
    names = pdf.Root.get("/Names")
    if isinstance(names, pikepdf.Dictionary):
        _drop(names, "/JavaScript", "/EmbeddedFiles")
    if isinstance(pdf.Root.get("/OpenAction"), pikepdf.Dictionary):
        del pdf.Root["/OpenAction"]
    _drop(pdf.Root, "/Collection")
    for page in pdf.pages:
        _drop_carriers(page)
    for dictionary in _dictionaries(pdf):
        _drop(dictionary, *_TRIGGERS)
        if str(dictionary.get("/S")) in _RUNNING:
            _drop(dictionary, *list(dictionary.keys()))
        if "/JS" in dictionary:
            del dictionary["/JS"]


def strip(pdf: pikepdf.Pdf) -> None:
    """Remove author, title, times, programs and what programs left behind for themselves."""
    if "/Info" in pdf.trailer:
        del pdf.trailer["/Info"]
    for dictionary in _dictionaries(pdf):
        _drop(dictionary, "/Metadata", "/PieceInfo", "/LastModified", "/SpiderInfo")


def _drop(dictionary: Any, *names: str) -> None:
    for name in names:
        if name in dictionary:
            del dictionary[name]


def _drop_carriers(page: pikepdf.Page) -> None:
    annotations = page.obj.get("/Annots")
    if not isinstance(annotations, pikepdf.Array):
        return
    kept = [entry for entry in annotations if not _is_carrier(entry)]
    if len(kept) < len(annotations):
        page.obj["/Annots"] = pikepdf.Array(kept)


def _is_carrier(annotation: Any) -> bool:
    return isinstance(annotation, pikepdf.Dictionary) and str(annotation.get("/Subtype")) in _CARRIERS


def _dictionaries(pdf: pikepdf.Pdf) -> Iterator[Any]:
    """Every dictionary of the file, also those inside others."""
    for entry in pdf.objects:
        yield from _inside(entry, 0)


def _inside(entry: Any, depth: int) -> Iterator[Any]:
    if depth > _NESTED:
        return
    if isinstance(entry, pikepdf.Stream):
        entry = entry.stream_dict
    if isinstance(entry, pikepdf.Dictionary):
        yield entry
        parts: Any = [value for _, value in entry.items()]
    elif isinstance(entry, pikepdf.Array):
        parts = list(entry)
    else:
        return
    for part in parts:
        is_own = isinstance(part, (pikepdf.Dictionary, pikepdf.Array)) and not part.is_indirect
        if is_own:  # others are entries of the file themselves
            yield from _inside(part, depth + 1)
