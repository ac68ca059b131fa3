"""The steps of `document.py` that use qpdf: open and repair, rotate, clean, combine pages, save. Needs pikepdf."""

import os
import shutil
from typing import Any

import pikepdf

from converto_engines.pdf.sandboxed import bookmarks, cleaning, page_boxes, pictures
from converto_engines.runtime.sandboxed.protocol import Refused

_INFORMATION_CHARACTERS = 2000


def version() -> str:
    """Return the version of qpdf."""
    return str(pikepdf.__libqpdf_version__)


def open_all(paths: list[str], *, most_pages: int) -> list[pikepdf.Pdf]:
    """Open all sources, repairing broken cross-reference tables; refuses sources that lose pages in the repair."""
    sources, count = [], 0
    for ordinal, path in enumerate(paths, start=1):
        prefix = f"File {ordinal} of {len(paths)}: " if len(paths) > 1 else ""
        source = _open(path, prefix)
        sources.append(source)
        count += len(source.pages)
        if count > most_pages:
            raise Refused("too_large", f"{prefix}{count:,} pages in total; at most {most_pages:,} are allowed at once")
    return sources


def mend(sources: list[pikepdf.Pdf]) -> set[int]:
    """Give each page a box that shows it, in place; returns the changed pages, numbered from 1 over all sources."""
    changed, first = set(), 0
    for source in sources:
        changed |= {first + index + 1 for index in page_boxes.mend(source)}
        first += len(source.pages)
    return changed


def change(sources: list[pikepdf.Pdf], chosen: list[int], rotated: set[int], request: dict[str, Any]) -> None:
    """Rotate pages and clean documents in place, before pages are combined."""
    first = 0
    kept = set(chosen)
    for source in sources:
        for number, page in enumerate(source.pages, start=first + 1):
            if number in rotated:
                page.rotate(request["rotate"], relative=True)
        if request["sanitize"]:
            cleaning.sanitize(source)
        if request["strip"]:
            cleaning.strip(source)
        if request["pictures"]:
            shown = [index for index in range(len(source.pages)) if first + index + 1 in kept]
            pictures.shrink(source, shown, **request["pictures"], most_pixels=request["pixels"])
        first += len(source.pages)


def write(sources: list[pikepdf.Pdf], pages: list[int], path: str, request: dict[str, Any]) -> None:
    """Save these pages, numbered consecutively over all sources, as one PDF."""
    is_whole = len(sources) == 1 and len(pages) == len(sources[0].pages)
    document = sources[0] if is_whole else _combine(sources, pages)
    if request["is_packed"]:
        document.remove_unreferenced_resources()
    mode = pikepdf.ObjectStreamMode.generate if request["is_packed"] else pikepdf.ObjectStreamMode.preserve
    if request["is_packed"]:
        pikepdf.settings.set_flate_compression_level(9)
    try:
        document.save(
            path,
            object_stream_mode=mode,
            recompress_flate=request["is_packed"],
            linearize=request["linearize"],
            fix_metadata_version=not request["strip"],
        )
    except pikepdf.PdfError as error:
        raise Refused("corrupt", "The PDF is too damaged to be repaired") from error
    if is_whole and _is_only_packed(document, request) and _size(path) >= _size(request["sources"][0]):
        shutil.copyfile(request["sources"][0], path)  # the source was already packed as tightly as possible


def verify_linearized(path: str) -> None:
    """Refuse a result that is not linearized."""
    with pikepdf.open(path) as made:
        if not made.is_linearized:
            raise Refused("output", "The result is not linearized for fast web view")


def _open(path: str, prefix: str) -> pikepdf.Pdf:
    try:
        source = pikepdf.open(path, suppress_warnings=True)
        declared, count = source.Root.Pages.get("/Count"), len(source.pages)
    except pikepdf.PasswordError as error:
        text = "It is password-protected. Give the option password, or remove it and upload the file again"
        raise Refused("encrypted", f"{prefix}{text}" if prefix else "") from error
    except (pikepdf.PdfError, AttributeError, ValueError, TypeError, KeyError) as error:
        text = "It is damaged or incomplete. Check that it opens on your computer and upload it again"
        raise Refused("corrupt", f"{prefix}{text}" if prefix else "") from error
    if count < 1:
        raise Refused("corrupt", f"{prefix}The PDF has no pages")
    if source.get_warnings() and isinstance(declared, int) and declared > count:
        raise Refused("corrupt", f"{prefix}The PDF is damaged: only {count} of its {declared} pages can be read")
    return source


def _combine(sources: list[pikepdf.Pdf], pages: list[int]) -> pikepdf.Pdf:
    document = pikepdf.Pdf.new()
    first, wanted = 0, set(pages)
    outline: list[bookmarks.Bookmark] = []
    for source in sources:
        indices = [index for index in range(len(source.pages)) if first + index + 1 in wanted]
        if indices:
            places = {index: len(document.pages) + place for place, index in enumerate(indices)}
            outline += bookmarks.read(source, places)
            links = bookmarks.links(source, indices)
            document.add_pages_from(source, indices)
            bookmarks.fix_links(document, links, places)
        first += len(source.pages)
    bookmarks.write(document, outline)
    _keep_information(sources[0], document)
    return document


def _keep_information(source: pikepdf.Pdf, document: pikepdf.Pdf) -> None:
    for name, value in source.docinfo.items() if "/Info" in source.trailer else ():
        if isinstance(value, pikepdf.String):
            document.docinfo[name] = str(value)[:_INFORMATION_CHARACTERS]
    language = source.Root.get("/Lang")
    if isinstance(language, pikepdf.String):
        document.Root.Lang = str(language)[:_INFORMATION_CHARACTERS]


def _is_only_packed(document: pikepdf.Pdf, request: dict[str, Any]) -> bool:
    changes = ("rotate", "linearize", "strip", "sanitize", "is_mended")
    is_sound = not document.is_encrypted and not document.get_warnings()
    return request["is_packed"] and is_sound and not any(request[name] for name in changes)


def _size(path: str) -> int:
    return os.stat(path).st_size  # noqa: PTH116 -- pathlib is slow to import
