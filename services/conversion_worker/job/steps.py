"""The named steps of one job, from the source in the object store to the results in the object store.

It knows nothing of messages or leases, and it changes no status: what it returns or raises decides that elsewhere.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from conversion_worker.clock import Clock
from conversion_worker.job.result import Finished
from conversion_worker.job.results import Results
from conversion_worker.job.source import Sources
from conversion_worker.retry import DeadlineRetry
from conversion_worker.single_flight.single_flight import SingleFlight
from conversion_worker.slot.lease import Span, spans
from converto_core.catalogue import Offer
from converto_core.conversion.record import Conversion, Step
from converto_core.errors import EngineError, EngineMissing, EngineTimeout, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Converter, Job, Limits, Note, Product, Report, options_for
from converto_engines.planner import options_of_step
from converto_engines.sniffing.archive_limits import check_archive
from converto_infra.settings import Settings

DOWNLOADED, CONVERTED = 10.0, 90.0  # percent of the whole at the end of these steps
MOST_NOTES, LONGEST_NOTE = 20, 300  # a record is no log
OVERTIME_S = 10.0  # what a converter may need beyond its limit to end its program before it is ended itself


class Engines(msgspec.Struct, frozen=True):
    """The converters of one slot and what the installed ones offer, both by converter name."""

    converters: Mapping[str, Converter]
    offers: Mapping[str, Offer]

    def converter(self, name: str) -> Converter:
        """The installed converter; raises `EngineMissing`."""
        if name not in self.offers:
            raise EngineMissing(detail=f"this worker has no converter {name}")
        return self.converters[name]


class JobRunner:
    """Runs the jobs of one slot, one at a time."""

    def __init__(
        self,
        *,
        sources: Sources,
        sharing: SingleFlight,
        results: Results,
        equipment: Engines,
        settings: Settings,
        clock: Clock,
    ) -> None:
        """Everything is passed in; nothing is opened here."""
        self._sources = sources
        self._sharing = sharing
        self._results = results
        self._equipment = equipment
        self._settings = settings
        self._clock = clock

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> Finished:
        """The steps in order; raises a `ConversionError`, `LeaderRunning`, or in the end `DependencyUnavailable`."""
        converters = self._converters(claimed)
        patience = DeadlineRetry(self._clock, seconds=self._settings.conversion_timeout_s)
        path = await asyncio.to_thread(_source_path, folder, claimed.plan[0])

        report(0.0, "downloading")
        if awaited := await self._sharing.look_again(claimed, patience):
            return awaited
        sources, key = await self._fetch(claimed, path, report, patience)
        if shared := await self._sharing.lead_or_take(claimed, key, patience):
            return shared
        return await self._make(claimed, converters, sources, report=report, patience=patience)

    async def _fetch(
        self, claimed: Conversion, path: Path, report: Report, patience: DeadlineRetry
    ) -> tuple[tuple[Path, ...], str | None]:
        """The source and what is joined to it, looked at and hashed; and the key of what will be made of them."""
        file = await self._sources.find(claimed, patience)
        digest = await self._sources.download(claimed, file, path, patience)
        report(DOWNLOADED, "checking the file")
        await self._sources.check(claimed, file, path, digest)
        await asyncio.to_thread(check_archive, path, self._limits(claimed.family, spent_s=0))
        more = await self._sources.append(claimed, path.parent, patience)
        contents = (digest.sha256, *(one.sha256 for one in more))
        key = self._sharing.key(claimed, contents, tuple(self._equipment.offers.values()))
        await self._sources.remember(claimed, file, digest, patience, cache_key=key)
        return (path, *(one.path for one in more)), key

    async def _make(
        self,
        claimed: Conversion,
        converters: Sequence[Converter],
        sources: tuple[Path, ...],
        *,
        report: Report,
        patience: DeadlineRetry,
    ) -> Finished:
        notes: list[str] = []
        products = await self._convert(claimed, converters, sources, report, note=notes.append)
        outputs = await self._results.upload(claimed, products, _within(Span(CONVERTED, 100.0), report), patience)
        kept = tuple(text[:LONGEST_NOTE] for text in dict.fromkeys(notes))[:MOST_NOTES]
        return Finished(outputs=outputs, engine_versions=self._engine_versions(claimed.plan), notes=kept)

    def _converters(self, claimed: Conversion) -> list[Converter]:
        if not claimed.plan:
            raise EngineError("This conversion has no plan; please ask for it again", code="plan_missing")
        converters = [self._equipment.converter(step.converter) for step in claimed.plan]
        if claimed.appended and not self._equipment.offers[claimed.plan[0].converter].joins:
            raise EngineError("This worker cannot join files", code="plan_missing")
        return converters

    async def _convert(
        self,
        claimed: Conversion,
        converters: Sequence[Converter],
        sources: tuple[Path, ...],
        report: Report,
        *,
        note: Note,
    ) -> list[Product]:
        parts = spans([converter.seconds for converter in converters], start=DOWNLOADED, end=CONVERTED)
        started, products = self._clock.monotonic(), list[Product]()
        offers = tuple(self._equipment.offers.values())
        for position, (step, converter, part) in enumerate(zip(claimed.plan, converters, parts, strict=True)):
            if products:
                sources = (await asyncio.to_thread(_move_into_step, products, step),)
            limits = self._limits(claimed.family, spent_s=self._clock.monotonic() - started)
            job = Job(
                source=sources[0],
                more=sources[1:],
                source_format=step.source_format,
                target_format=step.target_format,
                folder=sources[0].parent,
                options=options_for(converter, options_of_step(claimed.options, position, claimed.plan, offers)),
                limits=limits,
                report=_within(part, report),
                note=note,
            )
            products = await _run_step(converter, job)
        return products

    def _limits(self, family: Family | None, *, spent_s: float) -> Limits:
        """The limits of the next step; the wall-clock limit is one for all steps together."""
        settings, is_media = self._settings, family in {Family.VIDEO, Family.AUDIO}
        wall_s = settings.media_timeout_s if is_media else settings.conversion_timeout_s
        return Limits(
            wall_s=max(wall_s - spent_s, 1.0),
            cpu_s=settings.media_cpu_s if is_media else settings.engine_cpu_s,
            memory_bytes=settings.engine_memory_bytes,
            file_bytes=settings.engine_output_bytes,
            pages=settings.max_pages,
            pixels=settings.max_pixels,
            duration_s=settings.max_duration_s,
            streams=settings.max_streams,
            faces=settings.max_faces,
            entries=settings.max_archive_entries,
            unpacked_bytes=settings.max_unpacked_bytes,
        )

    def _engine_versions(self, plan: Sequence[Step]) -> dict[str, str]:
        offers = [self._equipment.offers[step.converter] for step in plan]
        return {offer.engine: offer.engine_version for offer in offers}


async def _run_step(converter: Converter, job: Job) -> list[Product]:
    job.report(None, f"converting {job.source_format} to {job.target_format}")
    try:
        # The converter holds the limit itself; this one is for a converter that does not come back at all.
        async with asyncio.timeout(job.limits.wall_s + OVERTIME_S):
            products = await converter.convert(job)
    except TimeoutError as error:
        raise EngineTimeout() from error
    if not products:
        raise OutputInvalid(detail=f"{converter.name} made nothing")
    return products


def _source_path(folder: Path, step: Step) -> Path:
    """Each step has a folder of its own, because a program sees the folder of its step and nothing else."""
    step_folder = folder / f"{step.source_format}-to-{step.target_format}"
    step_folder.mkdir(mode=0o700)
    return step_folder / f"source.{step.source_format}"


def _move_into_step(products: Sequence[Product], step: Step) -> Path:
    if len(products) != 1:
        raise OutputInvalid(detail="only the last step of a plan may make several files")
    made = products[0].path
    return made.rename(_source_path(made.parent.parent, step))


def _within(part: Span, report: Report) -> Report:
    return lambda percent, stage: report(part.at(percent), stage)
