"""Extracts the PDF preview of a Keynote file and counts the slides that it must show. Standard library only.

A request has `source`, `output`, `entries` and `unpacked_bytes`; the result has `has_preview` and the numbers `slides`
and `shown`, which are None where only Keynote knows them.
"""

import gzip
import re
import shutil
import zipfile
from typing import Any
from xml.parsers import expat

from converto_engines.runtime.sandboxed.archive import LOCKED, check_size
from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument

_PREVIEW = re.compile(r"(?:.*/)?(?:quicklook/)?preview\.pdf", re.IGNORECASE)
_OUTLINE = re.compile(r"(?:.*/)?index\.apxl(\.gz)?")
_SLIDE = re.compile(r"(?:.*/)?Index/Slide(?:-[\d-]+)?\.iwa")
_CHUNK_BYTES = 256 * 1024


def extract(request: dict[str, Any]) -> dict[str, Any]:
    """Write the preview, if there is one, to `output`."""
    try:
        with zipfile.ZipFile(request["source"]) as package:
            check_size(package.infolist(), entries=request["entries"], unpacked_bytes=request["unpacked_bytes"])
            return {"has_preview": _write_preview(package, request["output"]), **_slides(package)}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, expat.ExpatError) as error:
        raise Refused("corrupt") from error
    except RuntimeError as error:  # raised by zipfile for an encrypted member
        raise Refused("encrypted", LOCKED) from error


def _write_preview(package: zipfile.ZipFile, output: str) -> bool:
    name = next((name for name in package.namelist() if _PREVIEW.fullmatch(name)), None)
    if name is None:
        return False
    with package.open(name) as preview, open(output, "wb") as written:  # noqa: PTH123 -- pathlib is slow to import
        shutil.copyfileobj(preview, written)
    return True


def _slides(package: zipfile.ZipFile) -> dict[str, int | None]:
    """Keynote '09 lists its slides in XML and marks the skipped ones; later versions have one member per slide."""
    outline = next((name for name in package.namelist() if _OUTLINE.fullmatch(name)), None)
    if outline is None:
        parts = sum(1 for name in package.namelist() if _SLIDE.fullmatch(name))
        return {"slides": parts or None, "shown": None}
    found: list[bool] = []

    def collect(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(" ")[2] == "slide":
            hidden = (value for key, value in attributes.items() if key.rpartition(" ")[2] == "hidden")
            found.append(next(hidden, "false") in {"true", "1"})

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = collect
    parser.EntityDeclHandler = _refuse
    with package.open(outline) as stream:
        source = gzip.GzipFile(fileobj=stream) if outline.endswith(".gz") else stream
        while chunk := source.read(_CHUNK_BYTES):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    return {"slides": len(found), "shown": found.count(False)}


def _refuse(*_: Any) -> None:
    raise ValueError("an entity is declared")


def main() -> None:
    """Serve one request."""
    serve_argument(extract)
