"""Converts an HTML page to PDF with WeasyPrint, which runs no scripts, and verifies the PDF.

Request: `source`, `output`, `packages`, `pages`, `pixels`, `style` (CSS of the paper), `zoom`. Answer: `pages`,
`notes`.
"""

import io
import logging
import mimetypes
import sys
import threading
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument
from converto_engines.texts.sandboxed.markup_limits import check_size
from converto_engines.texts.sandboxed.page_encoding import encoding_of_page

_STACK_BYTES = 256 * 1024**2
_RECURSION_LIMIT = 20_000  # the layout needs some dozens of calls per level of nesting


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the PDF the request names, or return WeasyPrint's version when asked for it."""
    sys.path[:0] = request["packages"]
    mimetypes.knownfiles = []  # importing WeasyPrint reads the system's MIME tables, which the sandbox may forbid
    try:
        import weasyprint  # noqa: PLC0415 -- importable only once `packages` are on the path
    except (ImportError, OSError) as error:
        raise Refused("missing", "WeasyPrint or Pango is not installed on this worker") from error
    if request.get("ask") == "able":
        return {"version": weasyprint.__version__}
    return _with_deep_stack(request)


def _with_deep_stack(request: dict[str, Any]) -> dict[str, Any]:
    """Convert in a thread with a large stack, because the layout recurses for each level of nesting."""
    sys.setrecursionlimit(_RECURSION_LIMIT)
    threading.stack_size(_STACK_BYTES)
    future: Future[dict[str, Any]] = Future()
    thread = threading.Thread(target=_fulfil, args=(future, request))
    thread.start()
    thread.join()
    try:
        return future.result()
    except RecursionError as error:
        raise Refused("too_large", "The page is nested too deeply to be laid out") from error


def _fulfil(future: "Future[dict[str, Any]]", request: dict[str, Any]) -> None:
    try:
        future.set_result(_write_pdf(request))
    except BaseException as error:  # noqa: BLE001 -- the main thread raises it
        future.set_exception(error)


def _write_pdf(request: dict[str, Any]) -> dict[str, Any]:
    content = Path(request["source"]).read_bytes()
    check_size(content)
    encoding, notes = encoding_of_page(content)
    document = _layout(content, encoding, request)
    report_progress(90, "writing the PDF")
    document.write_pdf(request["output"], zoom=request["zoom"])
    _verify(request["output"], document)
    return {"pages": len(document.pages), "notes": notes}


def _layout(content: bytes, encoding: str | None, request: dict[str, Any]) -> Any:
    import weasyprint  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from weasyprint.urls import URLFetcher  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = request["pixels"]
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # a picture over the limit is left out
    _watch_pages(request["pages"])
    # Only data URLs: styles, pictures, fonts and attachments never come from a file or the network.
    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    page = weasyprint.HTML(  # a stream without a name, so that relative links cannot resolve to our files
        file_obj=io.BytesIO(content), encoding=encoding, url_fetcher=fetcher, base_url="about:blank"
    )
    paper = weasyprint.CSS(string=request["style"], url_fetcher=fetcher)
    return page.render(stylesheets=[paper], presentational_hints=True, optimize_images=False)


def _watch_pages(max_pages: int) -> None:
    logger = logging.getLogger("weasyprint.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(_PageWatch(max_pages))
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)


class _PageWatch(logging.Handler):
    """Reports progress from WeasyPrint's log, which names each page it begins, and stops it at the page limit."""

    def __init__(self, max_pages: int) -> None:
        super().__init__()
        self._max_pages = max_pages

    def emit(self, record: logging.LogRecord) -> None:
        """Report a page; refuse the first one over the limit."""
        if not isinstance(record.args, tuple) or "Page %d" not in record.msg:
            return
        number = int(str(record.args[0]))
        if number > self._max_pages:
            raise Refused("too_large", f"The page would fill more than {self._max_pages:,} sheets of paper")
        if number == 1 or number % 10 == 0:
            report_progress(None, f"laying out page {number}")


def _verify(path: str, document: Any) -> None:
    """Check that the PDF opens, has all pages of the layout, and has text on the first page with text."""
    import pypdfium2  # noqa: PLC0415

    pdf = pypdfium2.PdfDocument(path)
    if len(pdf) != len(document.pages) or not len(pdf):
        raise Refused("output", f"The PDF has {len(pdf)} instead of {len(document.pages)} pages")
    expected = next((number for number, page in enumerate(document.pages) if _has_text(page)), None)
    if expected is not None and not pdf[expected].get_textpage().get_text_range().strip():
        raise Refused("output", f"The PDF lacks the text of page {expected + 1}")


def _has_text(page: Any) -> bool:
    """Return whether the page has a word of ASCII letters outside its margins."""
    boxes = page._page_box.descendants()
    return any(word.isascii() and word.isalpha() for box in boxes for word in getattr(box, "text", "").split())


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
