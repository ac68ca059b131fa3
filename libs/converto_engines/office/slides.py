"""Presentations to other presentations, with LibreOffice."""

from converto_core.catalogue import Loss
from converto_core.errors import BadSource, CorruptSource
from converto_engines.converter import Job, Product
from converto_engines.office.keynote import KEYNOTE_ADVICE
from converto_engines.office.rewriting import Counts, OfficeRewriting, empty_source


class OfficeSlides(OfficeRewriting):
    """Converter of presentations; see `Converter` for what its attributes mean.

    Converting to the same format is useful too: templates and shows become presentations, and macros are removed.
    """

    name = "office-slides"
    sources: tuple[str, ...] = ("pptx", "ppt", "odp", "key")
    targets: tuple[str, ...] = ("pptx", "odp")
    loss = 0.12
    seconds = 1.5
    losses: tuple[Loss, ...] = (
        Loss(text="macros, signatures, some effects and animations; diagrams may become plain shapes"),
        Loss(text="Keynote's layouts, charts and effects, of which only simple ones are supported", sources=("key",)),
    )

    async def convert(self, job: Job) -> list[Product]:
        """Save the source in the target format; the error for an unreadable Keynote file says what to do."""
        try:
            return await super().convert(job)
        except CorruptSource as error:
            if job.source_format != "key":
                raise
            raise BadSource(KEYNOTE_ADVICE, code="source_unsupported", detail=error.detail) from error

    def filter_options(self, expected: Counts, job: Job) -> str:
        """No options; raises `BadSource` for a file without slides."""
        if expected["slides"] == 0:
            raise empty_source("slides")
        if expected["shapes"] == 0 and job.source_format == "key":
            raise BadSource(KEYNOTE_ADVICE, code="source_unsupported")
        return ""
