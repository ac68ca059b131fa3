"""Extracts the text of PDF pages with poppler; the result counts the pages and the characters without white space."""

import os
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_PAGES_AT_ONCE = 40
_PAGE_END = "\f"  # poppler writes it after each page
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
        poppler.run("pdftotext", "-enc", "UTF-8", "-eol", "unix", *layout, *ends, request["source"], path)

    processes = min(process_pool.cpu_count(), len(runs))
    process_pool.run(range(len(runs)), lambda: extract, processes, lambda number: progress.add(len(runs[number])))
    characters = _concatenate([_part(request, number) for number in range(len(runs))], runs, request["output"])
    return {"pages": len(chosen), "characters": characters}


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


def _concatenate(parts: list[str], runs: list[list[int]], path: str) -> int:
    characters = 0
    with open(path, "w", encoding="utf-8", newline="\n") as whole:  # noqa: PTH123 -- pathlib is slow to import
        for part, pages in zip(parts, runs, strict=True):
            text = _text_of(part)
            if text.count(_PAGE_END) < len(pages):
                raise Refused("output", f"The text of pages {pages[0]} to {pages[-1]} is incomplete")
            characters += len("".join(text.split()))
            whole.write(text)
            os.unlink(part)  # noqa: PTH108
    return characters


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="\n") as file:  # noqa: PTH123 -- pathlib is slow to import
            return file.read().translate(_CONTROL)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("output", "The extracted text cannot be read") from error


def main() -> None:
    """Serve one request."""
    serve_argument(convert)
