"""Base of the converters from office files to office files: LibreOffice saves, then the result is read and compared."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from converto_core.errors import BadSource, EngineCrashed, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.office.open_document import COMMENTED, PASSWORD_SOURCES, OpenDocument, opened
from converto_engines.office.single_run import exported_alone
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_KEPT_SHARE, _TOLERATED_CHARACTERS = 0.9, 20
"""The share of the text that must be kept, and what may always be missing: fields and numbers may become shorter."""

Counts = dict[str, Any]
"""What a document contains: `characters`, `slides` and `shapes`, or `sheets`, depending on its kind."""


class OfficeRewriting:
    """Opens a source, saves it in the target format, and checks that the result contains what the source does."""

    engine = "LibreOffice"
    family = Family.OFFICE
    sources: tuple[str, ...] = ()
    options: type[msgspec.Struct] = NoOptions
    is_paged = False
    is_editing = False  # whether `prepare` changes the document

    def __init__(self, sandbox: Sandbox, office: WarmOffice) -> None:
        """`sandbox` runs the reader of results; `office` is shared by the converters of this slot."""
        self._sandbox, self._office = sandbox, office
        self._reader = SandboxedProgram(sandbox, "office.sandboxed.counts")

    @property
    def password_sources(self) -> tuple[str, ...]:
        """The sources that it opens with a password."""
        return tuple(source for source in self.sources if source in PASSWORD_SOURCES)

    async def version(self) -> str | None:
        """Return a version such as 7.4.7.2; None when LibreOffice or python3-uno is missing."""
        return await self._office.version()

    async def convert(self, job: Job) -> list[Product]:
        """Save the source in the target format and verify the result."""
        ends_at = time.monotonic() + job.limits.wall_s
        try:
            return await self._convert(job, ends_at)
        except EngineCrashed:
            if job.source_format not in COMMENTED:
                raise
            return await self._convert(job, ends_at, without_comments=True)

    async def _convert(self, job: Job, ends_at: float, *, without_comments: bool = False) -> list[Product]:
        product = job.folder / f"result.{job.target_format}"
        async with opened(
            self._office, job, editable=self.is_editing, without_comments=without_comments, ends_at=ends_at
        ) as (document, source):
            await self.prepare(document, job)
            expected = await document.count()
            if source["comments"] and job.target_format != "txt":
                if await self._save_alone(product, expected, job, ends_at):
                    return [Product(path=product)]
                job.note("Left out: comments, because this document could not be converted with them")
            result = await self._save(document, expected, job)
            await self._take(result, product, expected, job)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Stop LibreOffice; the other converters of the slot restart it when they need it."""
        await self._office.aclose()

    async def prepare(self, document: OpenDocument, job: Job) -> None:
        """Change the open document before it is counted and saved."""

    def filter_options(self, expected: Counts, job: Job) -> str:
        """Return the filter options of the target format; may raise for a source that it cannot represent."""
        del expected, job
        return ""

    async def complete(self, document: OpenDocument, result: Path, expected: Counts, job: Job) -> None:
        """Add to the written file what LibreOffice left out."""

    def request(self, options: Any) -> dict[str, Any]:
        """Return further parameters for the reader of the result."""
        del options
        return {}

    def compare(self, expected: Counts, found: Counts, job: Job) -> None:
        """Raise `OutputInvalid` when the result lacks slides, text or cells of the source."""
        del job
        if "slides" in expected:
            check_slides(expected, found)
        if "characters" in expected:
            check_characters(expected, found)
        if "sheets" in expected:
            check_sheets(expected, found)

    async def write(self, document: OpenDocument, result: Path, expected: Counts, job: Job) -> None:
        """Write the document as `result`, alone in its folder: LibreOffice adds the sheet name to that of a table."""
        options = self.filter_options(expected, job)
        await document.save(result, target=job.target_format, settings={}, filter_options=options)
        (written,) = await asyncio.to_thread(lambda: list(result.parent.iterdir())) or [result]
        if written != result:
            await asyncio.to_thread(written.rename, result)
        await self.complete(document, result, expected, job)

    async def _save(self, document: OpenDocument, expected: Counts, job: Job) -> Path:
        result = document.folder / "saved" / f"result.{job.target_format}"
        await asyncio.to_thread(result.parent.mkdir)
        await self.write(document, result, expected, job)
        return result

    async def _save_alone(self, product: Path, expected: Counts, job: Job, ends_at: float) -> bool:
        """Save with all comments by a single run, which they do not crash; False when it fails, too."""
        try:
            async with exported_alone(self._office, job, {}, ends_at=ends_at, target=job.target_format) as result:
                await self._take(result, product, expected, job)
        except (EngineCrashed, OutputInvalid):
            return False
        return True

    async def _take(self, result: Path, product: Path, expected: Counts, job: Job) -> None:
        """Verify a result and make it the product."""
        job.report(None, "checking")
        await self._check(result, expected, job)
        await asyncio.to_thread(shutil.move, result, product)

    async def _check(self, result: Path, expected: Counts, job: Job) -> None:
        folder = result.parent
        request = {
            "output": self._sandbox.path_inside(folder, result),
            "target": job.target_format,
            **self.request(job.options),
        }
        self.compare(expected, await self._reader.run(request, folder=folder, limits=job.limits), job)


def check_characters(expected: Counts, found: Counts) -> None:
    """Raise unless the result has nearly all of the text."""
    if found["characters"] < expected["characters"] * _KEPT_SHARE - _TOLERATED_CHARACTERS:
        raise OutputInvalid(
            "Part of the text is missing from the result", detail=f"{found['characters']} of {expected['characters']}"
        )


def check_slides(expected: Counts, found: Counts) -> None:
    """Raise unless the result has every slide, including hidden ones."""
    if found["slides"] != expected["slides"]:
        raise OutputInvalid(f"The result has {found['slides']} slides instead of {expected['slides']}")


def check_sheets(expected: Counts, found: Counts) -> None:
    """Raise unless the result has every sheet with all its cells."""
    if len(found["sheets"]) != len(expected["sheets"]):
        raise OutputInvalid(f"The result has {len(found['sheets'])} sheets instead of {len(expected['sheets'])}")
    for source, result in zip(expected["sheets"], found["sheets"], strict=True):
        if result["cells"] < source["cells"]:
            raise OutputInvalid(
                "Cells are missing from the result",
                detail=f"{result['cells']} of {source['cells']} in {result['name']}",
            )


def empty_source(content: str) -> BadSource:
    """Return the error for a source without any content that the target format can represent."""
    return BadSource(f"The file contains no {content}, so the result would be empty", code="source_empty")
