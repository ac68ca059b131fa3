"""How much an open document holds, as LibreOffice's own model counts it. It only reads."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from converto_engines.office.sandboxed.filters import SHEETS, TEXT

_WITH_CONTENT = 1 | 2 | 4 | 16  # com.sun.star.sheet.CellFlags: values, dates, texts and formulas
_MOST_QUESTIONS = 2000  # each shape or cell of a text's table costs a few over the bridge


def contents_of(document: Any) -> dict[str, Any]:
    """`characters` (no white space) of a text's body, also `slides` and `shapes` of a deck; `sheets` of a workbook."""
    if document.supportsService(TEXT):
        # The body's own string has the text of tables only when a paragraph stands before them: the longer one counts.
        cells = islice(_table_texts(document), _MOST_QUESTIONS)
        return {"characters": max(_letters(document.Text.getString()), sum(map(_letters, cells)))}
    if document.supportsService(SHEETS):
        sheets = document.Sheets
        return {"sheets": [_sheet(sheets.getByIndex(number)) for number in range(sheets.getCount())]}
    pages = document.getDrawPages()
    shapes = list(islice(_shapes_of_all(pages), _MOST_QUESTIONS))
    characters = sum(_characters(shape) for shape in shapes)
    return {"slides": pages.getCount(), "shapes": len(shapes), "characters": characters}


def _table_texts(document: Any) -> Iterator[str]:
    """Texts in the tables of the body; what is in headers and frames is not kept by every target."""
    if document.TextTables.getCount() == 0:
        return
    parts = document.Text.createEnumeration()
    for _ in range(_MOST_QUESTIONS):
        if not parts.hasMoreElements():
            return
        part = parts.nextElement()
        if hasattr(part, "getCellNames"):
            yield from (part.getCellByName(name).getString() for name in part.getCellNames())


def _sheet(sheet: Any) -> dict[str, Any]:
    """Name, how many cells hold something, and the last row and column that do, counted from 1."""
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
    """Text that is really there; an empty placeholder shows words that no reader ever sees."""
    if not hasattr(shape, "getString") or getattr(shape, "IsEmptyPresentationObject", False):
        return 0
    return _letters(shape.getString())


def _letters(text: str) -> int:
    return sum(map(len, text.split()))
