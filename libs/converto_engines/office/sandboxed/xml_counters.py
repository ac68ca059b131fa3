"""Streaming readers that count letters, cells, slides and sheets in the XML parts of office packages.

They do not load the document into memory and reject document type declarations. Standard library only.
"""

import zipfile
from typing import Any, Self
from xml.parsers import expat

_SEPARATOR = " "
_CHUNK_BYTES = 256 * 1024
Attributes = dict[str, str]


class Reader:
    """Parses one part and calls the methods of a subclass; element names are passed without their namespace."""

    def read(self, package: zipfile.ZipFile, part: str) -> Self:
        """Parse a part; raises `KeyError` when it is missing, `ExpatError` or `ValueError` when it is invalid."""
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
        """Handle the start of an element; `parent` is the enclosing element."""

    def end(self, name: str) -> None:
        """Handle the end of an element; `parent` is the enclosing element."""

    def text(self, text: str) -> None:
        """Handle text between two tags."""

    @property
    def parent(self) -> str:
        """The enclosing element; empty at the root."""
        return self._path[-1] if self._path else ""

    def _start(self, name: str, attributes: Attributes) -> None:
        self.start(local := _local(name), attributes)
        self._path.append(local)

    def _end(self, name: str) -> None:
        self._path.pop()
        self.end(_local(name))


class Letters(Reader):
    """Counts the characters of the text, without white space."""

    def __init__(self) -> None:
        self.count = 0

    def text(self, text: str) -> None:
        """Count the text; in content parts all of it is visible, because settings are attributes."""
        self.count += sum(map(len, text.split()))


class Names(Reader):
    """Collects the attributes of all elements of one name with the given parent."""

    def __init__(self, parent: str, name: str) -> None:
        self._parent, self._name = parent, name
        self.all: list[Attributes] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """Collect a matching element."""
        if name == self._name and self.parent == self._parent:
            self.all.append(attributes)


class References(Reader):
    """Collects the relationships of an Office Open XML part: id to target."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}

    def start(self, name: str, attributes: Attributes) -> None:
        """Collect one relationship."""
        if name == "Relationship":
            self.targets[attributes["Id"]] = attributes["Target"]


class Cells(Reader):
    """Counts the cells of an Excel sheet that contain a value, text or a formula."""

    def __init__(self) -> None:
        self.count = 0
        self._has_content = False

    def start(self, name: str, attributes: Attributes) -> None:
        """Mark the current cell when it contains a value, formula or inline text."""
        if name == "c":
            self._has_content = False
        elif name in {"v", "f", "is"} and self.parent == "c":
            self._has_content = True

    def end(self, name: str) -> None:
        """Count the cell that ends."""
        self.count += name == "c" and self._has_content


class Tables(Reader):
    """Lists the sheets of an OpenDocument workbook with their cell counts; repeated cells are stored once."""

    def __init__(self) -> None:
        self.sheets: list[dict[str, Any]] = []
        self._rows = 1

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle sheets, rows and cells."""
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
    raise ValueError("document type declarations are not allowed")
