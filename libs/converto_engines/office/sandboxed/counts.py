"""Counts the contents of a file that LibreOffice wrote, with independent readers. Standard library only.

A request has `output`, `target` and, for tables, `separator`; the result has `characters`, `slides`, `sheets` (name and
cells) or `rows`, depending on the target.
"""

import csv
import posixpath
import sys
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from converto_engines.office.sandboxed.rich_text import characters_of
from converto_engines.office.sandboxed.xml_counters import Cells, Letters, Names, References, Tables
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_RELATIONSHIPS = "officeDocument/2006/relationships"


def count(request: dict[str, Any]) -> dict[str, Any]:
    """Count the contents; refuses a file that cannot be read."""
    path, target = request["output"], request["target"]
    try:
        if target in _PACKAGES:
            return _in_package(path, target)
        return _in_text(path, target, request.get("separator", ","))
    except (zipfile.BadZipFile, expat.ExpatError, KeyError, ValueError, OSError, csv.Error) as error:
        raise Refused("output", "LibreOffice wrote a file that does not open") from error


def _in_package(path: str, target: str) -> dict[str, Any]:
    with zipfile.ZipFile(path) as package:
        if package.testzip() is not None:
            raise zipfile.BadZipFile
        counts: dict[str, Any] = _PACKAGES[target](package)
    return counts


def _in_text(path: str, target: str, separator: str) -> dict[str, Any]:
    with open(path, encoding="utf-8" if target != "rtf" else "ascii", newline="") as file:  # noqa: PTH123
        if target == "csv":
            csv.field_size_limit(sys.maxsize)
            return {"rows": sum(1 for _ in csv.reader(file, delimiter=separator))}
        text = file.read()
    return {"characters": characters_of(text) if target == "rtf" else sum(map(len, text.split()))}


def _word(package: zipfile.ZipFile) -> dict[str, Any]:
    notes = {"word/footnotes.xml", "word/endnotes.xml"} & set(package.namelist())
    return {"characters": sum(_letters(package, part) for part in ("word/document.xml", *notes))}


def _powerpoint(package: zipfile.ZipFile) -> dict[str, Any]:
    slides = list(_parts(package, "ppt/presentation.xml", "sldId"))
    return {"slides": len(slides), "characters": sum(_letters(package, part) for _, part in slides)}


def _excel(package: zipfile.ZipFile) -> dict[str, Any]:
    sheets = list(_parts(package, "xl/workbook.xml", "sheet"))
    return {"sheets": [{"name": name, "cells": Cells().read(package, part).count} for name, part in sheets]}


def _open_text(package: zipfile.ZipFile) -> dict[str, Any]:
    return {"characters": _letters(package, "content.xml")}


def _open_slides(package: zipfile.ZipFile) -> dict[str, Any]:
    slides = Names("presentation", "page").read(package, "content.xml").all
    return {"slides": len(slides), "characters": _letters(package, "content.xml")}


def _open_sheets(package: zipfile.ZipFile) -> dict[str, Any]:
    return {"sheets": Tables().read(package, "content.xml").sheets}


_PACKAGES = {
    "docx": _word, "pptx": _powerpoint, "xlsx": _excel, "odt": _open_text, "odp": _open_slides, "ods": _open_sheets,
}  # fmt: skip


def _letters(package: zipfile.ZipFile, part: str) -> int:
    return Letters().read(package, part).count


def _parts(package: zipfile.ZipFile, main: str, element: str) -> Iterator[tuple[str, str]]:
    """Yield name and part of each slide or sheet that the main part lists."""
    folder, name = posixpath.split(main)
    targets = References().read(package, f"{folder}/_rels/{name}.rels").targets
    for attributes in Names(f"{element}s" if element == "sheet" else f"{element}Lst", element).read(package, main).all:
        reference = next(value for key, value in attributes.items() if _RELATIONSHIPS in key)
        yield (
            attributes.get("name", ""),
            posixpath.normpath(posixpath.join("/", folder, targets[reference])).lstrip("/"),
        )


def main() -> None:
    """Serve one request."""
    serve_argument(count)
