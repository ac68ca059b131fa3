"""Takes the text out of pages of a PDF with poppler. Runs inside the sandbox, once per PDF.

Started as `page_texts.py REQUEST_JSON`; it speaks as `protocol.py` says, and answers with the count of pages that
were read and of characters that are no white space.
"""

import os
from typing import Any

from converto_engines.pdf.sandboxed import page_choice, poppler
from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument

_PAGES_AT_ONCE = 40
_PAGE_END = "\f"  # poppler ends each page with it
_CONTROL = {code: None for code in range(32) if chr(code) not in "\t\n\f"}


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Look at the PDF with pdfium, then read the chosen pages in runs, several at once where there are cores for it."""
    if request.get("ask") == "able":
        page_choice.library_at(request)
        return {"version": poppler.version_of("pdftotext")}
    document = page_choice.opened(page_choice.library_at(request), request["source"])
    chosen = page_choice.chosen(document.page_count, request["ranges"], most=request["pages"])
    runs = _runs(chosen)
    read = 0

    def count(number: int) -> None:
        nonlocal read
        read += len(runs[number])
        report_progress(100 * read / len(chosen), f"page {read} of {len(chosen)}")

    def take(number: int) -> None:
        pages = runs[number]
        ends = ("-f", str(pages[0]), "-l", str(pages[-1]))
        layout = ("-layout",) if request["layout"] else ()
        path = _part(request, number)
        poppler.run("pdftotext", "-enc", "UTF-8", "-eol", "unix", *layout, *ends, request["source"], path)

    process_pool.run(range(len(runs)), lambda: take, min(process_pool.cpu_count(), len(runs)), count)
    characters = _put_together([_part(request, number) for number in range(len(runs))], runs, request["output"])
    return {"pages": len(chosen), "characters": characters}


def _runs(chosen: list[int]) -> list[list[int]]:
    """Pages that follow each other, not too many at once."""
    runs: list[list[int]] = []
    for page in chosen:
        if runs and runs[-1][-1] == page - 1 and len(runs[-1]) < _PAGES_AT_ONCE:
            runs[-1].append(page)
        else:
            runs.append([page])
    return runs


def _part(request: dict[str, Any], number: int) -> str:
    return f"{request['output']}.{number}"


def _put_together(parts: list[str], runs: list[list[int]], path: str) -> int:
    characters = 0
    with open(path, "w", encoding="utf-8", newline="\n") as whole:  # noqa: PTH123 -- paths are plain text in here
        for part, pages in zip(parts, runs, strict=True):
            text = _text_of(part)
            if text.count(_PAGE_END) < len(pages):
                raise Refused("output", f"The text of pages {pages[0]} to {pages[-1]} is not complete")
            characters += len("".join(text.split()))
            whole.write(text)
            os.unlink(part)  # noqa: PTH108 -- paths are plain text in here
    return characters


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="\n") as file:  # noqa: PTH123 -- paths are plain text in here
            return file.read().translate(_CONTROL)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("output", "The text that was taken out cannot be read") from error


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
