"""Removes active content, embedded files and metadata from a PDF. Needs pikepdf."""

from collections.abc import Iterator
from typing import Any

import pikepdf

_ACTIVE_ACTIONS = {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/Rendition", "/Movie", "/Sound", "/GoToE"}
"""Actions that run a script, start a program, submit a form, or open embedded content."""
_ACTIVE_ANNOTATIONS = {"/FileAttachment", "/RichMedia", "/Screen", "/Movie", "/Sound", "/3D"}
_TRIGGERS = ("/AA", "/EF", "/AF", "/XFA")
"""Additional actions, embedded files of file specifications, associated files, and XFA forms."""
_MAX_DEPTH = 50


def sanitize(pdf: pikepdf.Pdf) -> None:
    """Remove scripts, active actions and embedded files; keeps links to pages and web addresses."""
    names = pdf.Root.get("/Names")
    if isinstance(names, pikepdf.Dictionary):
        _drop(names, "/JavaScript", "/EmbeddedFiles")
    if isinstance(pdf.Root.get("/OpenAction"), pikepdf.Dictionary):
        del pdf.Root["/OpenAction"]
    _drop(pdf.Root, "/Collection")
    for page in pdf.pages:
        _drop_active_annotations(page)
    for dictionary in _dictionaries(pdf):
        _drop(dictionary, *_TRIGGERS)
        if str(dictionary.get("/S")) in _ACTIVE_ACTIONS:
            _drop(dictionary, *list(dictionary.keys()))
        if "/JS" in dictionary:
            del dictionary["/JS"]


def strip(pdf: pikepdf.Pdf) -> None:
    """Remove author, title, dates, program names and private data of programs."""
    if "/Info" in pdf.trailer:
        del pdf.trailer["/Info"]
    for dictionary in _dictionaries(pdf):
        _drop(dictionary, "/Metadata", "/PieceInfo", "/LastModified", "/SpiderInfo")


def _drop(dictionary: Any, *names: str) -> None:
    for name in names:
        if name in dictionary:
            del dictionary[name]


def _drop_active_annotations(page: pikepdf.Page) -> None:
    annotations = page.obj.get("/Annots")
    if not isinstance(annotations, pikepdf.Array):
        return
    kept = [entry for entry in annotations if not _is_active(entry)]
    if len(kept) < len(annotations):
        page.obj["/Annots"] = pikepdf.Array(kept)


def _is_active(annotation: Any) -> bool:
    return isinstance(annotation, pikepdf.Dictionary) and str(annotation.get("/Subtype")) in _ACTIVE_ANNOTATIONS


def _dictionaries(pdf: pikepdf.Pdf) -> Iterator[Any]:
    """Yield every dictionary of the file, including nested ones."""
    for entry in pdf.objects:
        yield from _nested(entry, 0)


def _nested(entry: Any, depth: int) -> Iterator[Any]:
    if depth > _MAX_DEPTH:
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
        if is_own:  # indirect objects are visited as objects of the file
            yield from _nested(part, depth + 1)
