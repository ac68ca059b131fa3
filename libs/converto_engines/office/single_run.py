"""Exports a document with a LibreOffice of its own: some documents crash the warm one, but not this one."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import EngineCrashed, EngineTimeout
from converto_engines.converter import Job
from converto_engines.office.open_document import took_too_long
from converto_engines.office.sandboxed.filters import DRAWING, READERS, SHEETS, SLIDES, TEXT, WRITERS
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.link import link_or_copy

_SERVICES = {
    **dict.fromkeys(("docx", "doc", "odt", "rtf"), TEXT),
    **dict.fromkeys(("pptx", "ppt", "odp"), SLIDES),
    **dict.fromkeys(("xlsx", "xls", "ods"), SHEETS),
    "odg": DRAWING,
}
"""What each source is. The driver rewrites plain text first and checks what it read of Keynote, so both need it."""
_TYPES = {bool: "boolean", int: "long", str: "string"}


def can_run_alone(source_format: str) -> bool:
    """Return whether a source of this format can be exported without the driver."""
    return source_format in _SERVICES


@asynccontextmanager
async def exported_alone(
    office: WarmOffice, job: Job, settings: dict[str, Any], *, ends_at: float, target: str = "pdf"
) -> AsyncIterator[Path]:
    """Yield the result in a folder that `office` sees; `settings` are those of a PDF, `ends_at` is monotonic time.

    Raises `EngineCrashed` when nothing is written, and the errors of `Sandbox.run`.
    """
    folder = await office.create_folder()
    try:
        source = folder / f"source.{job.source_format}"
        await asyncio.to_thread(link_or_copy, job.source, source)
        limits = msgspec.structs.replace(job.limits, wall_s=max(0.0, ends_at - time.monotonic()))
        try:
            run = await office.run_alone(_arguments(office, source, target, settings), limits=limits)
        except EngineTimeout as error:
            raise took_too_long(job, "single run") from error
        result = _results(source) / f"source.{target}"
        if not await asyncio.to_thread(result.is_file):
            raise EngineCrashed(detail=f"exit status {run.exit_code}: {run.stderr_tail[-400:]}")
        yield result
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _results(source: Path) -> Path:
    """The folder of results, which may have the name of the source; LibreOffice creates it."""
    return source.with_name("results")


def _arguments(office: WarmOffice, source: Path, target: str, settings: dict[str, Any]) -> list[str]:
    # The reader is given, so that a file that its own filter rejects is not imported as text.
    source_format = source.suffix[1:]
    reader = next(iter(READERS[source_format].values()))
    writer = WRITERS[target][_SERVICES[source_format]]
    values = {
        name: {"type": _TYPES[type(value)], "value": str(value).lower() if isinstance(value, bool) else str(value)}
        for name, value in settings.items()
    }
    return [
        f"--infilter={reader}",
        "--convert-to",
        f"{target}:{writer}:{json.dumps(values)}" if values else f"{target}:{writer}",
        "--outdir",
        office.path_inside(_results(source)),
        office.path_inside(source),
    ]
