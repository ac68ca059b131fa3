"""Readers that count in the XML parts of office packages while it streams by: letters, cells, slides, sheets.

They hold no document in memory, follow nothing, and refuse declarations of entities. Standard library only.
"""

import zipfile
from typing import Any, Self
from xml.parsers import expat

_SEPARATOR = " "
_CHUNK_BYTES = 256 * 1024
Attributes = dict[str, str]


class Reader:
    """Goes through one part; below it are those who look at something. Element names come without their namespace."""

    def read(self, package: zipfile.ZipFile, part: str) -> Self:
        """Look at a part; raises `KeyError` when it is missing, `ExpatError` or `ValueError` when it is not sound."""
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        self._path: list[str] = []
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self.text
        parser.StartDoctypeDeclHandler = _refuse
        with package.open(part) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        return self

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins; the path still ends with its parent."""

    def end(self, name: str) -> None:
        """An element ends; the path ends with its parent again."""

    def text(self, text: str) -> None:
        """Text between two tags."""

    @property
    def parent(self) -> str:
        """The element that encloses what is looked at."""
        return self._path[-1] if self._path else ""

    def _start(self, name: str, attributes: Attributes) -> None:
        self.start(local := _local(name), attributes)
        self._path.append(local)

    def _end(self, name: str) -> None:
        self._path.pop()
        self.end(_local(name))


class Letters(Reader):
    """Counts characters between tags, without white space."""

    def __init__(self) -> None:
        self.count = 0

    def text(self, text: str) -> None:
        """All text of a content part is for readers; what only steers stands in attributes."""
        self.count += sum(map(len, text.split()))


class Names(Reader):
    """Lists the elements of one name that stand directly in another."""

    def __init__(self, parent: str, name: str) -> None:
        self._parent, self._name = parent, name
        self.all: list[Attributes] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """Keep those that were asked for."""
        if name == self._name and self.parent == self._parent:
            self.all.append(attributes)


class References(Reader):
    """The relations of an Office Open XML part: id to target."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}

    def start(self, name: str, attributes: Attributes) -> None:
        """Each relation is one element."""
        if name == "Relationship":
            self.targets[attributes["Id"]] = attributes["Target"]


class Cells(Reader):
    """Counts the cells of an Excel sheet that hold a value, a text or a formula."""

    def __init__(self) -> None:
        self.count = 0
        self._has_content = False

    def start(self, name: str, attributes: Attributes) -> None:
        """A value, formula or inline text belongs to the cell that is open."""
        if name == "c":
            self._has_content = False
        elif name in {"v", "f", "is"} and self.parent == "c":
            self._has_content = True

    def end(self, name: str) -> None:
        """The cell is over."""
        self.count += name == "c" and self._has_content


class Tables(Reader):
    """Names the sheets of an OpenDocument workbook and counts their cells; repeated ones are written once."""

    def __init__(self) -> None:
        self.sheets: list[dict[str, Any]] = []
        self._rows = 1

    def start(self, name: str, attributes: Attributes) -> None:
        """Sheets, rows and cells."""
        known = {_local(key): value for key, value in attributes.items()}
        if name == "table" and self.parent == "spreadsheet":
            self.sheets.append({"name": known.get("name", ""), "cells": 0})
        elif name == "table-row":
            self._rows = int(known.get("number-rows-repeated", 1))
        elif name in {"table-cell", "covered-table-cell"} and ("value-type" in known or "formula" in known):
            self.sheets[-1]["cells"] += self._rows * int(known.get("number-columns-repeated", 1))


def _local(name: str) -> str:
    return name.rpartition(_SEPARATOR)[2]


def _refuse(*_: Any) -> None:
    raise ValueError("a document type is declared")
