"""Presentations to other presentations by LibreOffice."""

from typing import Any

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import BadSource, CorruptSource
from converto_engines.converter import Job, NoOptions, Product
from converto_engines.office.keynote import KEYNOTE_ADVICE
from converto_engines.office.rewriting import OfficeRewriting, check_characters, check_slides, refuse_empty


class OfficeSlides(OfficeRewriting):
    """Converter of presentations; see `Converter` for what its attributes mean.

    The same format as target has its use too: templates and shows become presentations, macros are left behind.
    """

    name = "office-slides"
    sources: tuple[str, ...] = ("pptx", "ppt", "odp", "key")
    targets: tuple[str, ...] = ("pptx", "odp")
    options: type[msgspec.Struct] = NoOptions
    loss = 0.12
    seconds = 1.5
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures, some effects and animations; diagrams may become plain shapes"),
        Loss(text="Keynote's layouts, charts and effects, of which only simple parts are understood", sources=("key",)),
    )

    async def convert(self, job: Job) -> list[Product]:
        """Write the source in the target format; for Keynote files that LibreOffice cannot read, say what to do."""
        try:
            return await super().convert(job)
        except CorruptSource as error:
            if job.source_format != "key":
                raise
            raise BadSource(KEYNOTE_ADVICE, code="source_unsupported", detail=error.detail) from error

    def filter_options(self, there: dict[str, Any], job: Job) -> str:
        """Nothing to tell the filter; a file without slides is refused here."""
        if there["slides"] == 0:
            raise refuse_empty("slides")
        if there["shapes"] == 0 and job.source_format == "key":
            raise BadSource(KEYNOTE_ADVICE, code="source_unsupported")
        return ""

    def compare(self, there: dict[str, Any], made: dict[str, Any], job: Job) -> None:
        """Slides and text have to be there."""
        del job
        check_slides(there, made)
        check_characters(there, made)
