"""Counts the contents of an open document through the object model of LibreOffice."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from converto_engines.office.sandboxed.filters import SHEETS, TEXT

_WITH_CONTENT = 1 | 2 | 4 | 16  # com.sun.star.sheet.CellFlags: values, dates, texts and formulas
_MAX_VISITED = 2000  # each shape or table cell costs several calls over the UNO bridge


def contents_of(document: Any) -> dict[str, Any]:
    """Return `characters` (no white space) of a text, also `slides` and `shapes` of a deck, `sheets` of a workbook."""
    if document.supportsService(TEXT):
        # The body's string includes table text only if a paragraph precedes the table, so the longer text counts.
        cells = islice(_table_texts(document), _MAX_VISITED)
        return {"characters": max(_letters(document.Text.getString()), sum(map(_letters, cells)))}
    if document.supportsService(SHEETS):
        sheets = document.Sheets
        return {"sheets": [_sheet(sheets.getByIndex(number)) for number in range(sheets.getCount())]}
    pages = document.getDrawPages()
    shapes = list(islice(_shapes_of_all(pages), _MAX_VISITED))
    characters = sum(_characters(shape) for shape in shapes)
    return {"slides": pages.getCount(), "shapes": len(shapes), "characters": characters}


def boxed_texts(document: Any) -> list[str]:
    """Return the texts in frames and text boxes of a text document, each once; its plain text leaves them out."""
    frames = document.TextFrames
    found = [frames.getByIndex(number).getString() for number in range(min(frames.getCount(), _MAX_VISITED))]
    shapes = islice(_shapes(document.DrawPage), _MAX_VISITED)
    found += [shape.getString() for shape in shapes if hasattr(shape, "getString")]
    return list(dict.fromkeys(text.strip() for text in found if text.strip()))


def _table_texts(document: Any) -> Iterator[str]:
    """Yield the cell texts of tables in the body; not every target keeps headers and frames."""
    if document.TextTables.getCount() == 0:
        return
    parts = document.Text.createEnumeration()
    for _ in range(_MAX_VISITED):
        if not parts.hasMoreElements():
            return
        part = parts.nextElement()
        if hasattr(part, "getCellNames"):
            yield from (part.getCellByName(name).getString() for name in part.getCellNames())


def _sheet(sheet: Any) -> dict[str, Any]:
    """Return the name, the number of non-empty cells, and the last non-empty row and column, counted from 1."""
    ranges = sheet.queryContentCells(_WITH_CONTENT).getRangeAddresses()
    return {
        "name": sheet.Name,
        "cells": sum((area.EndRow - area.StartRow + 1) * (area.EndColumn - area.StartColumn + 1) for area in ranges),
        "rows": max((area.EndRow + 1 for area in ranges), default=0),
        "columns": max((area.EndColumn + 1 for area in ranges), default=0),
    }


def _shapes_of_all(pages: Any) -> Iterator[Any]:
    for number in range(pages.getCount()):
        yield from _shapes(pages.getByIndex(number))


def _shapes(holder: Any) -> Iterator[Any]:
    for number in range(holder.getCount()):
        shape = holder.getByIndex(number)
        if hasattr(shape, "getByIndex"):
            yield from _shapes(shape)
        else:
            yield shape


def _characters(shape: Any) -> int:
    """Count the real text; an empty placeholder has a prompt that is not part of the presentation."""
    if not hasattr(shape, "getString") or getattr(shape, "IsEmptyPresentationObject", False):
        return 0
    return _letters(shape.getString())


def _letters(text: str) -> int:
    return sum(map(len, text.split()))
