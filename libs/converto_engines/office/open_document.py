"""A document that is open in the warm LibreOffice: counts its contents, saves it in other formats, and closes it."""

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
    """A document in a folder of its own; all requests together may take as long as the job may."""

    def __init__(self, office: WarmOffice, job: Job, folder: Path) -> None:
        """Use `opened`, which creates the folder and removes it."""
        self._office, self._job, self.folder = office, job, folder
        self._ends_at = time.monotonic() + job.limits.wall_s

    async def open(self) -> dict[str, Any]:
        """Load the source as its declared format; the response has `slides` and `visible` for a deck."""
        source_format, limits = self._job.source_format, self._job.limits
        source = self.folder / f"source.{source_format}"
        await asyncio.to_thread(link_or_copy, self._job.source, source)
        self._job.report(None, "opening")
        caps = {"entries": limits.entries, "unpacked_bytes": limits.unpacked_bytes}
        return await self._request("open", path=self._office.path_inside(source), source_format=source_format, **caps)

    async def count(self) -> dict[str, Any]:
        """Count its contents (`sandboxed/contents.py`)."""
        return await self._request("count")

    async def save(self, result: Path, **arguments: Any) -> None:
        """Write it to a file in the folder; `arguments` are those of the driver's command `save`."""
        self._job.report(None, "exporting")
        await self._request("save", path=self._office.path_inside(result), **arguments)

    async def pages_of(self, pdf: Path) -> int:
        """Count the pages of a PDF in the folder with pdfium; raises `OutputInvalid` when it does not open."""
        pdfium = str(self._office.pdfium)
        pages = int((await self._request("pages", path=self._office.path_inside(pdf), pdfium=pdfium))["pages"])
        if pages < 1:
            raise OutputInvalid("LibreOffice wrote a PDF that does not open")
        return pages

    async def _request(self, command: str, **arguments: Any) -> dict[str, Any]:
        remaining_s, limits = max(0.0, self._ends_at - time.monotonic()), self._job.limits
        try:
            return await self._office.request(command, timeout_s=remaining_s, limits=limits, **arguments)
        except EngineTimeout as error:
            # Users know the limit of the whole conversion, not the time that was left for this command.
            raise EngineTimeout(
                f"The conversion took longer than the {limits.wall_s:g} s allowed for one file", detail=command
            ) from error
        except CorruptSource as error:
            raise CorruptSource(
                f"The file cannot be read as {BY_NAME[self._job.source_format].title}: it is damaged, incomplete or"
                " in another format. Check that it opens on your computer and upload it again",
                detail=error.detail,
            ) from error


@asynccontextmanager
async def opened(office: WarmOffice, job: Job) -> AsyncIterator[tuple[OpenDocument, dict[str, Any]]]:
    """Open the job's source in LibreOffice, which is started if needed; yields it and the response of `open`."""
    folder = await office.create_folder()
    try:
        if office.pid is None:
            job.report(None, "starting LibreOffice")
        await office.ensure_running(job.limits)
        document = OpenDocument(office, job, folder)
        yield document, await document.open()
    finally:
        await office.finish_conversion()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
