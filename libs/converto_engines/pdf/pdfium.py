"""Locates the shared library of pdfium, which the package pypdfium2 provides."""

import importlib.util
import json
from pathlib import Path

from converto_core.errors import EngineError, EngineMissing


def find_library() -> Path | None:
    """Return the path of the library; None when the package is not installed."""
    spec = importlib.util.find_spec("pypdfium2_raw")
    library = Path(spec.origin).parent / "libpdfium.so" if spec is not None and spec.origin else None
    return library if library is not None and library.is_file() else None


def require_library() -> Path:
    """Return the path of the library; raises `EngineMissing`."""
    library = find_library()
    if library is None:
        raise EngineMissing("pdfium is not installed on this worker")
    return library


def version_of(library: Path) -> str:
    """Return the build number that the package records."""
    try:
        recorded = json.loads((library.parent / "version.json").read_text())
        return ".".join(str(recorded[part]) for part in ("major", "minor", "build", "patch"))
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(detail=f"version of pdfium: {error!r}") from error
