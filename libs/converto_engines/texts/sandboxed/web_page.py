"""Runs in the sandbox: an HTML page becomes a PDF by WeasyPrint, which runs no script, and is read back.

Started as `web_page.py REQUEST_JSON`; it speaks as `protocol.py` says. A request has `source`, `output`, `packages`,
`pages`, `pixels`, `style` (CSS of the paper) and `zoom`; an answer `pages`.
"""

import io
import logging
import mimetypes
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, report_progress, serve_argument
from converto_engines.texts.sandboxed.decoding import encoding_of_page
from converto_engines.texts.sandboxed.markup_limits import look_over

_STACK_BYTES = 256 * 1024**2
_CALLS = 20_000  # of the layout, some dozens per level of nesting
_NEEDED = "WeasyPrint or Pango is not installed on this worker"


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Make the PDF that the request names, or say which WeasyPrint is here."""
    sys.path[:0] = request["packages"]
    mimetypes.knownfiles = []  # WeasyPrint has the tables of the system read, which a sandbox may forbid
    try:
        import weasyprint  # noqa: PLC0415 -- found only after the line above
    except (ImportError, OSError) as error:
        raise Refused("missing", _NEEDED) from error
    if request.get("ask") == "able":
        return {"version": weasyprint.__version__}
    return _with_deep_stack(request)


def _with_deep_stack(request: dict[str, Any]) -> dict[str, Any]:
    """The layout calls itself for each level of nesting, which takes more stack than a thread gets by itself."""
    sys.setrecursionlimit(_CALLS)
    threading.stack_size(_STACK_BYTES)
    ended: list[dict[str, Any] | BaseException] = []
    thread = threading.Thread(target=lambda: ended.append(_outcome(request)))
    thread.start()
    thread.join()
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]


def _outcome(request: dict[str, Any]) -> dict[str, Any] | BaseException:
    try:
        return _made(request)
    except RecursionError as error:
        refusal = Refused("too_large", "The page is nested too deeply to be laid out")
        refusal.__cause__ = error
        return refusal
    except BaseException as error:  # noqa: BLE001 -- carried over to the main thread, which raises it
        return error


def _made(request: dict[str, Any]) -> dict[str, Any]:
    content = Path(request["source"]).read_bytes()
    look_over(content)
    document = _laid_out(content, request)
    report_progress(90, "writing the PDF")
    document.write_pdf(request["output"], zoom=request["zoom"])
    _check(request["output"], document)
    return {"pages": len(document.pages)}


def _laid_out(content: bytes, request: dict[str, Any]) -> Any:
    import weasyprint  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from weasyprint.urls import URLFetcher  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = request["pixels"]
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # a picture over the limit is left out
    _listen(request["pages"])
    # Only what the page brings with it: no network, no file, whatever names it: style, picture, font, attachment.
    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    page = weasyprint.HTML(  # a stream without a name, so that no link can be read as one beside a file of ours
        file_obj=io.BytesIO(content), encoding=encoding_of_page(content), url_fetcher=fetcher, base_url="about:blank"
    )
    paper = weasyprint.CSS(string=request["style"], url_fetcher=fetcher)
    return page.render(stylesheets=[paper], presentational_hints=True, optimize_images=False)


def _listen(most_pages: int) -> None:
    logger = logging.getLogger("weasyprint.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Pages(most_pages))
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)


class _Pages(logging.Handler):
    """WeasyPrint logs each page it begins: that tells how far it is, and stops it when there are too many."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def emit(self, record: logging.LogRecord) -> None:
        """Report a page, refuse one too many."""
        if not isinstance(record.args, tuple) or "Page %d" not in record.msg:
            return
        number = int(str(record.args[0]))
        if number > self._most:
            raise Refused("too_large", f"The page would fill more than {self._most:,} sheets of paper")
        if number == 1 or number % 10 == 0:
            report_progress(None, f"laying out page {number}")


def _check(path: str, document: Any) -> None:
    """The PDF opens, has the pages that were laid out, and holds text when they did."""
    import pypdfium2  # noqa: PLC0415

    made = pypdfium2.PdfDocument(path)
    if len(made) != len(document.pages) or not len(made):
        raise Refused("output", f"{len(document.pages)} pages were laid out, the PDF has {len(made)}")
    expected = next((number for number, page in enumerate(document.pages) if _has_text(page)), None)
    if expected is not None and not made[expected].get_textpage().get_text_range().strip():
        raise Refused("output", f"The text of page {expected + 1} is missing in the PDF")


def _has_text(page: Any) -> bool:
    """Whether a word of plain letters stands on the page itself, not in its margins."""
    boxes = page._page_box.descendants()
    return any(word.isascii() and word.isalpha() for box in boxes for word in getattr(box, "text", "").split())


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
