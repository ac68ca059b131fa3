"""Office files to other office files by the warm LibreOffice, each result read again and compared with its source.

`OfficeRewriting` is the part that all such converters share; it knows no format.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from converto_core.errors import BadSource, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.office.open_document import OpenDocument, opened
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_SHARE_KEPT, _SPARED_CHARACTERS = 0.9, 20
"""Fields and numbers may come out shorter: how much of the text has to be there, and by how much it may always lack."""


class OfficeRewriting:
    """Opens a source, has it saved in the target format, and proves that what was in it is in the result."""

    engine = "LibreOffice"
    family = Family.OFFICE
    is_paged = False

    def __init__(self, sandbox: Sandbox, office: WarmOffice) -> None:
        """Take the sandbox that reads results, and the LibreOffice that the converters of this slot share."""
        self._sandbox, self._office = sandbox, office
        self._reader = SandboxedProgram(sandbox, "office.sandboxed.counts")

    async def version(self) -> str | None:
        """Version such as 7.4.7.2; None when LibreOffice or python3-uno is missing."""
        return await self._office.version()

    async def convert(self, job: Job) -> list[Product]:
        """Write the source in the target format."""
        product = job.folder / f"result.{job.target_format}"
        async with opened(self._office, job) as (document, _):
            there = await document.count()
            result = await self._saved(document, there, job)
            job.report(None, "checking")
            await self._check(result, there, job)
            await asyncio.to_thread(shutil.move, result, product)
        return [Product(path=product)]

    async def aclose(self) -> None:
        """End LibreOffice; the other converters of the slot start it again if they go on."""
        await self._office.aclose()

    def filter_options(self, there: dict[str, Any], job: Job) -> str:
        """What the filter of the target has to be told; may refuse what the source does not have."""
        del there, job
        return ""

    def request(self, options: Any) -> dict[str, Any]:
        """What the reader of the result has to be told."""
        del options
        return {}

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """Raise `OutputInvalid` when the result lacks what the source holds."""
        raise NotImplementedError

    async def _saved(self, document: OpenDocument, there: dict[str, Any], job: Job) -> Path:
        """The result, in a folder of its own: LibreOffice puts a sheet's name into a table's."""
        folder = document.room / "saved"
        options = self.filter_options(there, job)
        await asyncio.to_thread(folder.mkdir)
        result = folder / f"result.{job.target_format}"
        await document.save(result, target=job.target_format, settings={}, filter_options=options)
        (found,) = await asyncio.to_thread(lambda: list(folder.iterdir())) or [result]
        if found != result:
            await asyncio.to_thread(found.rename, result)
        return result

    async def _check(self, result: Path, there: dict[str, Any], job: Job) -> None:
        folder = result.parent
        request = {
            "output": self._sandbox.path_inside(folder, result),
            "target": job.target_format,
            **self.request(job.options),
        }
        self.compare(there, await self._reader.run(request, folder=folder, limits=job.limits), job)


def check_characters(there: dict[str, Any], made: dict[str, Any]) -> None:
    """Nearly all of the text has to be in the result."""
    if made["characters"] < there["characters"] * _SHARE_KEPT - _SPARED_CHARACTERS:
        raise OutputInvalid(
            "A part of the text is missing in the result", detail=f"{made['characters']} of {there['characters']}"
        )


def check_slides(there: dict[str, Any], made: dict[str, Any]) -> None:
    """Every slide has to be in the result, hidden ones included."""
    if made["slides"] != there["slides"]:
        raise OutputInvalid(f"The result has {made['slides']} slides where {there['slides']} were expected")


def check_sheets(there: dict[str, Any], made: dict[str, Any]) -> None:
    """Every sheet has to be in the result, with all its cells."""
    if len(made["sheets"]) != len(there["sheets"]):
        raise OutputInvalid(f"The result has {len(made['sheets'])} sheets where {len(there['sheets'])} were expected")
    for expected, found in zip(there["sheets"], made["sheets"], strict=True):
        if found["cells"] < expected["cells"]:
            raise OutputInvalid(
                "Cells are missing in the result", detail=f"{found['cells']} of {expected['cells']} in {found['name']}"
            )


def refuse_empty(what: str) -> BadSource:
    """The error for a source that has nothing which the target could hold."""
    return BadSource(f"The file holds no {what}, so the result would be empty", code="source_empty")
