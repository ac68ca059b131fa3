"""A document that is open in the warm LibreOffice: counts its contents, saves it in other formats, and closes it."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from converto_core.errors import CorruptSource, EngineTimeout, OutputInvalid
from converto_core.formats import BY_NAME
from converto_engines.converter import Job
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.link import link_or_copy

PASSWORD_SOURCES = ("docx", "doc", "odt", "pptx", "odp", "odg", "xlsx", "xls", "ods")
"""What LibreOffice opens with a password. It cannot decrypt PowerPoint 97."""
COMMENTED = frozenset({"docx", "doc", "odt", "rtf"})
"""Text documents: LibreOffice without its user interface may crash over their comments."""


class OpenDocument:
    """A document in a folder of its own; all requests together may take as long as the job may."""

    def __init__(self, office: WarmOffice, job: Job, folder: Path, *, ends_at: float | None = None) -> None:
        """Use `opened`, which creates the folder and removes it; `ends_at` is monotonic time."""
        self._office, self._job, self.folder = office, job, folder
        self._ends_at = time.monotonic() + job.limits.wall_s if ends_at is None else ends_at

    async def open(self, *, editable: bool = False, without_comments: bool = False) -> dict[str, Any]:
        """Load the source as its declared format; the response has `slides` and `visible` for a deck.

        With `without_comments` it has the number of `comments` that were removed. Tells the job what could not be
        loaded.
        """
        source_format, limits = self._job.source_format, self._job.limits
        source = self.folder / f"source.{source_format}"
        await asyncio.to_thread(link_or_copy, self._job.source, source)
        self._job.report(None, "opening")
        caps = {"entries": limits.entries, "unpacked_bytes": limits.unpacked_bytes}
        table = {"title": self._job.title, "numbers": getattr(self._job.options, "numbers", True)}
        changes = {"editable": editable, "without_comments": without_comments}
        path = self._office.path_inside(source)
        key = {"password": self._job.password.reveal()} if self._job.password else {}
        response = await self._request(
            "open", path=path, source_format=source_format, table=table, **caps, **changes, **key
        )
        for text in response.pop("notes", ()):
            self._job.note(text)
        return response

    async def review(self, changes: str) -> dict[str, bool]:
        """Show, accept or reject its tracked changes; returns whether it had `changes`."""
        return await self._request("review", changes=changes)

    async def count(self) -> dict[str, Any]:
        """Count its contents (`sandboxed/contents.py`)."""
        return await self._request("count")

    async def save(self, result: Path, **arguments: Any) -> None:
        """Write it to a file in the folder; `arguments` are those of the driver's command `save`."""
        self._job.report(None, "exporting")
        await self._request("save", path=self._office.path_inside(result), **arguments)

    async def save_text(self, result: Path, sheets: Sequence[int]) -> None:
        """Write the cells of these sheets, counted from 1, as plain text."""
        self._job.report(None, "exporting")
        await self._request("save_text", path=self._office.path_inside(result), sheets=list(sheets))

    async def spell_out(self, table: Path, *, separator: str, sheet: int) -> None:
        """Write the long numbers of a saved table with all their digits; `sheet` counts from 1."""
        path = self._office.path_inside(table)
        await self._request("spell_out", path=path, separator=separator, sheet=sheet)

    async def pages_of(self, pdf: Path) -> int:
        """Count the pages of a PDF in the folder with pdfium; raises `OutputInvalid` when it does not open."""
        pdfium = str(self._office.pdfium)
        pages = int((await self._request("pages", path=self._office.path_inside(pdf), pdfium=pdfium))["pages"])
        if pages < 1:
            raise OutputInvalid("LibreOffice wrote a PDF that does not open")
        return pages

    async def missing_characters(self, pdf: Path) -> list[str]:
        """The characters of a PDF in the folder that no installed font has, most frequent first."""
        found = await self._request("glyphs", path=self._office.path_inside(pdf), pdfium=str(self._office.pdfium))
        return list(found["missing"])

    async def _request(self, command: str, **arguments: Any) -> dict[str, Any]:
        remaining_s, limits = max(0.0, self._ends_at - time.monotonic()), self._job.limits
        try:
            return await self._office.request(command, timeout_s=remaining_s, limits=limits, **arguments)
        except EngineTimeout as error:
            raise took_too_long(self._job, command) from error
        except CorruptSource as error:
            raise CorruptSource(
                f"The file cannot be read as {BY_NAME[self._job.source_format].title}: it is damaged, incomplete or"
                " in another format. Check that it opens on your computer and upload it again",
                detail=error.detail,
            ) from error


def took_too_long(job: Job, detail: str) -> EngineTimeout:
    """The error that names the limit of the whole conversion, which users know, not the time that was left."""
    return EngineTimeout(
        f"The conversion took longer than the {job.limits.wall_s:g} s allowed for one file", detail=detail
    )


@asynccontextmanager
async def opened(
    office: WarmOffice,
    job: Job,
    *,
    editable: bool = False,
    without_comments: bool = False,
    ends_at: float | None = None,
) -> AsyncIterator[tuple[OpenDocument, dict[str, Any]]]:
    """Open the job's source in LibreOffice, which is started if needed; yields it and the response of `open`."""
    folder = await office.create_folder()
    try:
        if office.pid is None:
            job.report(None, "starting LibreOffice")
        await office.ensure_running(job.limits)
        document = OpenDocument(office, job, folder, ends_at=ends_at)
        yield document, await document.open(editable=editable, without_comments=without_comments)
    finally:
        await office.finish_conversion()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
