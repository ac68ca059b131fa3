"""Extracts the text of PDF pages with poppler; the result counts the pages and the characters without white space."""

import os
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, pdfium, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_PAGES_AT_ONCE = 40
_PAGE_END = "\f"  # poppler writes it after each page
_INCOMPLETE_MARK = ".incomplete"  # ends the name of an empty file beside a text of which poppler left out something
_CONTROL = {code: None for code in range(32) if chr(code) not in "\t\n\f"}


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Count the pages with pdfium, then extract ranges of the chosen pages, in parallel on all CPUs."""
    if request.get("ask") == "able":
        page_choice.library_at(request)
        return {"version": poppler.version_of("pdftotext")}
    document = page_choice.opened(page_choice.library_at(request), request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    runs = _runs(chosen)
    progress = page_choice.PageProgress(len(chosen))

    def extract(number: int) -> None:
        pages = runs[number]
        ends = ("-f", str(pages[0]), "-l", str(pages[-1]))
        layout = ("-layout",) if request["layout"] else ()
        path = _part(request, number)
        if poppler.run("pdftotext", "-enc", "UTF-8", "-eol", "unix", *layout, *ends, request["source"], path):
            with open(path + _INCOMPLETE_MARK, "w"):  # noqa: PTH123 -- pathlib is slow to import
                pass

    processes = min(process_pool.cpu_count(), len(runs))
    process_pool.run(range(len(runs)), lambda: extract, processes, lambda number: progress.add(len(runs[number])))
    reader = _SecondReader(document)
    characters = _concatenate([_part(request, number) for number in range(len(runs))], runs, request["output"], reader)
    return {"pages": len(chosen), "characters": characters, "second_reader": reader.pages}


class _SecondReader:
    """Reads the pages with pdfium of which poppler finds no text, or not all; `pages` are those it read better."""

    def __init__(self, document: pdfium.Document) -> None:
        self._document = document
        self.pages: list[int] = []

    def better(self, page: int, text: str) -> str:
        """Return the text of a page, counted from 1, as the reader sees it that finds more."""
        try:
            own = self._document.text(page - 1).translate(_CONTROL).replace(_PAGE_END, "")
        except pdfium.PdfError:
            return text
        if _count(own) <= _count(text):
            return text
        self.pages.append(page)
        return f"{own.rstrip()}\n\n"


def _runs(chosen: list[int]) -> list[list[int]]:
    """Group consecutive pages, at most `_PAGES_AT_ONCE` per group."""
    runs: list[list[int]] = []
    for page in chosen:
        if runs and runs[-1][-1] == page - 1 and len(runs[-1]) < _PAGES_AT_ONCE:
            runs[-1].append(page)
        else:
            runs.append([page])
    return runs


def _part(request: dict[str, Any], number: int) -> str:
    return f"{request['output']}.{number}"


def _concatenate(parts: list[str], runs: list[list[int]], path: str, reader: _SecondReader) -> int:
    characters = 0
    with open(path, "w", encoding="utf-8", newline="\n") as whole:  # noqa: PTH123 -- pathlib is slow to import
        for part, pages in zip(parts, runs, strict=True):
            *texts, _ = _text_of(part).split(_PAGE_END)
            if len(texts) < len(pages):
                raise Refused("output", f"The text of pages {pages[0]} to {pages[-1]} is incomplete")
            is_incomplete = _removed(part + _INCOMPLETE_MARK)
            for page, text in zip(pages, texts, strict=False):
                read = reader.better(page, text) if is_incomplete or not text.strip() else text
                characters += _count(read)
                whole.write(read + _PAGE_END)
            os.unlink(part)  # noqa: PTH108
    return characters


def _count(text: str) -> int:
    return len("".join(text.split()))


def _removed(path: str) -> bool:
    """Remove a file and return whether it was there."""
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return False
    return True


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="\n") as file:  # noqa: PTH123 -- pathlib is slow to import
            return file.read().translate(_CONTROL)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("output", "The extracted text cannot be read") from error


def main() -> None:
    """Serve one request."""
    serve_argument(convert)
