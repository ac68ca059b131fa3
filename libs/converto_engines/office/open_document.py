"""One document that is open in the warm LibreOffice: asked what it holds, written in other formats, closed at the end.

It knows no target format and verifies nothing; the converters beside it do.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from converto_core.errors import CorruptSource, EngineTimeout, OutputInvalid
from converto_core.formats import BY_NAME
from converto_engines.converter import Job
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.link import link_or_copy


class OpenDocument:
    """A document in its own room; all questions together may take as long as the job may."""

    def __init__(self, office: WarmOffice, job: Job, room: Path) -> None:
        """`opened` is the way in; it makes the room and clears it away."""
        self._office, self._job, self.room = office, job, room
        self._ends_at = time.monotonic() + job.limits.wall_s

    async def open(self) -> dict[str, Any]:
        """Load it as what it is said to be; `slides` and `visible` of a deck are in the answer."""
        source_format, limits = self._job.source_format, self._job.limits
        source = self.room / f"source.{source_format}"
        await asyncio.to_thread(link_or_copy, self._job.source, source)
        self._job.report(None, "opening")
        caps = {"entries": limits.entries, "unpacked_bytes": limits.unpacked_bytes}
        return await self._ask("open", path=self._office.path_inside(source), source_format=source_format, **caps)

    async def count(self) -> dict[str, Any]:
        """What it holds (`inside/office_contents.py`)."""
        return await self._ask("count")

    async def save(self, result: Path, **how: Any) -> None:
        """Write it to a file in the room; `how` is what the driver's command `save` takes."""
        self._job.report(None, "exporting")
        await self._ask("save", path=self._office.path_inside(result), **how)

    async def pages_of(self, pdf: Path) -> int:
        """Pages of a PDF in the room, as pdfium counts them; raises `OutputInvalid` when it does not open."""
        pdfium = str(self._office.pdfium)
        pages = int((await self._ask("pages", path=self._office.path_inside(pdf), pdfium=pdfium))["pages"])
        if pages < 1:
            raise OutputInvalid("LibreOffice wrote a PDF that does not open")
        return pages

    async def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        remaining_s, limits = max(0.0, self._ends_at - time.monotonic()), self._job.limits
        try:
            return await self._office.ask(command, timeout_s=remaining_s, limits=limits, **arguments)
        except EngineTimeout as error:
            # Not the rest of the time that this one command had, but the whole of it, is what a user knows.
            raise EngineTimeout(
                f"The conversion took longer than the {limits.wall_s:g} s allowed for one file", detail=command
            ) from error
        except CorruptSource as error:
            raise CorruptSource(
                f"The file cannot be read as {BY_NAME[self._job.source_format].title}: it is damaged, incomplete or"
                " something else. Please check that it opens on your computer and upload it again",
                detail=error.detail,
            ) from error


@asynccontextmanager
async def opened(office: WarmOffice, job: Job) -> AsyncIterator[tuple[OpenDocument, dict[str, Any]]]:
    """The job's source, open in a LibreOffice that is started when none runs, and what `OpenDocument.open` tells."""
    room = await office.room()
    try:
        if office.pid is None:
            job.report(None, "starting LibreOffice")
        await office.make_ready(job.limits)
        document = OpenDocument(office, job, room)
        yield document, await document.open()
    finally:
        await office.rest()
        await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)
