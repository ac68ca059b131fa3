"""Writes a CSV file as an OpenDocument workbook, in which every cell shows what the file holds. Standard library only.

LibreOffice's own CSV filter turns 01234 into 1234 and long numbers into 1.23E+19. Here, a cell becomes a number only
when the number is written exactly as in the file; its format keeps the decimals. All other cells stay text.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from converto_engines.runtime.sandboxed.protocol import Refused
from converto_engines.texts.sandboxed.csv_rows import BrokenTable, all_rows
from converto_engines.texts.sandboxed.decoding import read_text

MAX_ROWS = 1_048_576
"""As many as a sheet can have, in LibreOffice and in Excel."""
_MIME_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
_NAMESPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for short, name in {
        "office": "office", "table": "table", "text": "text", "style": "style", "number": "datastyle",
        "manifest": "manifest",
    }.items()
)  # fmt: skip
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.(\d+))?")
_MAX_DIGITS = 15
"""A double keeps every decimal number of that many digits."""
_MAX_GENERAL_CHARACTERS = 10
"""Without a number format, spreadsheets round what is longer."""
_MIN_GENERAL = 0.0001
"""Without a number format, LibreOffice writes smaller numbers with an exponent."""
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_SIMPLE = re.compile(r"[^\s<>&]+(?: [^\s<>&]+)*")
"""Text that stands in XML as it is: most cells, and faster to write."""
_SPACES = re.compile(r"^ +| {2,}| +$")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_MAX_NAME_CHARACTERS = 31
_NOT_IN_NAMES = re.compile(r"[\[\]*?:/\\\s]+")
_CHUNK_ROWS = 1000


def write_workbook(source: str, target: Path, *, title: str, numbers: bool) -> list[str]:
    """Write the table as a workbook of one sheet, named after `title`; return notes about what could not be kept.

    If not `numbers`, all cells are text.
    """
    notes: list[str] = []
    text = read_text(source, notes)
    cleaned = _NOT_IN_XML.sub("\ufffd", text)
    if cleaned != text:
        notes.append("Control characters, which a sheet cannot hold, were replaced by \ufffd")
    is_strict = True
    try:
        _check_size(all_rows(cleaned))
    except BrokenTable as error:
        is_strict = False
        _check_size(all_rows(cleaned, strict=False))
        notes.append(f"The quotation marks in the row that begins at line {error.line} do not match: check its cells")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr("mimetype", _MIME_TYPE, zipfile.ZIP_STORED)
        package.writestr("META-INF/manifest.xml", _manifest())
        with package.open("content.xml", "w") as content:
            _write_content(content, _row_elements(all_rows(cleaned, strict=is_strict), numbers), sheet_name(title))
    return notes


def sheet_name(title: str) -> str:
    """Return the title as a name that every spreadsheet program accepts for a sheet."""
    name = _NOT_IN_NAMES.sub(" ", _NOT_IN_XML.sub("", title))[:_MAX_NAME_CHARACTERS].strip(" '")
    return name or "Sheet1"


def _check_size(rows: Iterable[list[str]]) -> None:
    count = sum(1 for _ in rows)
    if count > MAX_ROWS:
        raise Refused("too_large", f"The table has {count:,} rows; a sheet can hold {MAX_ROWS:,}")


def _manifest() -> str:
    entries = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
        for path, kind in {"/": _MIME_TYPE, "content.xml": "text/xml"}.items()
    )
    return f'<manifest:manifest {_NAMESPACES} manifest:version="1.2">{entries}</manifest:manifest>'


def _row_elements(rows: Iterator[list[str]], numbers: bool) -> Iterator[str]:
    cell = _cell if numbers else _text_cell
    for row in rows:
        yield f"<table:table-row>{''.join(map(cell, row)) or '<table:table-cell/>'}</table:table-row>"


def _write_content(content: IO[bytes], rows: Iterator[str], name: str) -> None:
    content.write(
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMESPACES} office:version="1.2">'
        f"<office:automatic-styles>{''.join(map(_style, range(_MAX_DIGITS + 1)))}</office:automatic-styles>"
        f"<office:body><office:spreadsheet><table:table table:name={quoteattr(name)}><table:table-column/>".encode()
    )
    while chunk := "".join(islice(rows, _CHUNK_ROWS)):
        content.write(chunk.encode())
    content.write(b"</table:table></office:spreadsheet></office:body></office:document-content>")


def _style(decimals: int) -> str:
    """Return the cell style for numbers with so many decimals."""
    return (
        f'<number:number-style style:name="N{decimals}"><number:number number:decimal-places="{decimals}"'
        f' number:min-decimal-places="{decimals}" number:min-integer-digits="1"/></number:number-style>'
        f'<style:style style:name="c{decimals}" style:family="table-cell" style:parent-style-name="Default"'
        f' style:data-style-name="N{decimals}"/>'
    )


def _cell(text: str) -> str:
    number = _NUMBER.fullmatch(text)
    if number is not None and _is_kept(text):
        decimals = number[1] or ""
        style = "" if _is_general(text, decimals) else f' table:style-name="c{len(decimals)}"'
        return f'<table:table-cell{style} office:value-type="float" office:value="{text}"/>'
    return _text_cell(text)


def _text_cell(text: str) -> str:
    if _SIMPLE.fullmatch(text):
        return f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>'
    if not text:
        return "<table:table-cell/>"
    if "\t" in text:
        # LibreOffice drops tabs in paragraphs of cells; it shows this value in one line.
        return f'<table:table-cell office:value-type="string" office:string-value={quoteattr(text)}/>'
    paragraphs = "".join(f"<text:p>{_marked(line)}</text:p>" for line in _LINE_ENDS.split(text))
    return f'<table:table-cell office:value-type="string">{paragraphs}</table:table-cell>'


def _is_kept(number: str) -> bool:
    """Return whether a double keeps all digits of a plain number; minus zero is shown without its sign."""
    digits = len(number) - number.count(".") - number.startswith("-")
    return digits <= _MAX_DIGITS and not (number.startswith("-") and float(number) == 0)


def _is_general(number: str, decimals: str) -> bool:
    """Return whether spreadsheets show this number as it is written without being told its decimals."""
    if len(number) > _MAX_GENERAL_CHARACTERS or decimals.endswith("0"):
        return False
    return not decimals or abs(float(number)) >= _MIN_GENERAL


def _marked(line: str) -> str:
    """Return a line as XML, in which a reader would drop spaces in a row."""
    return _SPACES.sub(lambda spaces: f'<text:s text:c="{len(spaces[0])}"/>', escape(line))
