"""Runs the converters of a conversion's plan one after another, each in a folder of its own."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from converto_core.catalogue import NotAnswering, Offer
from converto_core.conversion.record import Conversion, Step, title_of
from converto_core.errors import EngineError, EngineMissing, EngineNotAnswering, EngineTimeout, OutputInvalid
from converto_core.formats import Family
from converto_core.secret import Secret
from converto_engines.converter import Converter, Job, Limits, Product, Report, options_for
from converto_engines.planner import options_of_step
from converto_infra.clock import Clock
from converto_infra.settings import Settings

OVERTIME_S = 10.0  # a converter gets this much beyond its limit to end its program before it is cancelled
MOST_NOTES, LONGEST_NOTE_CHARACTERS = 20, 300  # a record is no log


class ConverterSet(msgspec.Struct, frozen=True):
    """The converters of one slot, the offers of those that have answered, and the rest; all by converter name.

    The last two may change while a conversion runs: offers are added, never removed.
    """

    converters: Mapping[str, Converter]
    offers: Mapping[str, Offer]
    not_answering: Mapping[str, NotAnswering] = {}

    def for_plan(self, claimed: Conversion) -> list[Converter]:
        """Return one converter per step.

        Raises `EngineNotAnswering` when this worker cannot run it yet, `EngineMissing` or `EngineError` when it never
        can.
        """
        if not claimed.plan:
            raise EngineError("This conversion has no plan. Please request it again", code="plan_missing")
        missing = [step.converter for step in claimed.plan if step.converter not in self.offers]
        if missing and all(name in self.not_answering for name in missing):
            raise _not_answering(self.not_answering[missing[0]])
        if missing:
            raise EngineMissing(detail=f"this worker has no converter {missing[0]}")
        if claimed.appended and not self.offers[claimed.plan[0].converter].joins:
            raise EngineError("This worker cannot join files", code="plan_missing")
        return [self.converters[step.converter] for step in claimed.plan]

    def engine_versions(self, plan: Sequence[Step]) -> dict[str, str]:
        """Return the version of each engine that the plan uses."""
        offers = [self.offers[step.converter] for step in plan]
        return {offer.engine: offer.engine_version for offer in offers}


def _not_answering(entry: NotAnswering) -> EngineNotAnswering:
    error = EngineNotAnswering(detail=f"{entry.offer.converter}: {entry.error}")
    error.since = entry.since
    return error


class Converted(msgspec.Struct, frozen=True):
    """The products of the last step and the notes of all steps."""

    products: list[Product]
    notes: tuple[str, ...]


class PlanRunner:
    """Runs plans with the converters of one slot."""

    def __init__(self, converters: ConverterSet, *, settings: Settings, clock: Clock) -> None:
        self._set = converters
        self._settings = settings
        self._clock = clock

    async def run(
        self, claimed: Conversion, sources: Sequence[Path], report: Report, *, password: Secret | None = None
    ) -> Converted:
        """Convert the sources step by step; the wall-clock limit is one for all steps together.

        The first step opens the sources with the password.
        """
        converters = self._set.for_plan(claimed)
        parts = spans([converter.seconds for converter in converters], start=0, end=100)
        started_s, products, notes = self._clock.monotonic(), list[Product](), list[str]()
        offers = tuple(self._set.offers.values())
        for position, (step, converter, part) in enumerate(zip(claimed.plan, converters, parts, strict=True)):
            if products:
                sources = (await asyncio.to_thread(_move_into_step, products, step),)
            limits = limits_for(claimed.family, self._settings, spent_s=self._clock.monotonic() - started_s)
            job = Job(
                source=sources[0],
                more=tuple(sources[1:]),
                source_format=step.source_format,
                target_format=step.target_format,
                folder=sources[0].parent,
                options=options_for(converter, options_of_step(claimed.options, position, claimed.plan, offers)),
                limits=limits,
                report=part.report_to(report),
                title=title_of(claimed.filename),
                note=notes.append,
                password=None if products else password,
            )
            products = await _run_step(converter, job)
        kept = tuple(text[:LONGEST_NOTE_CHARACTERS] for text in dict.fromkeys(notes))[:MOST_NOTES]
        return Converted(products, kept)


async def _run_step(converter: Converter, job: Job) -> list[Product]:
    job.report(None, f"converting {job.source_format} to {job.target_format}")
    try:
        # The converter keeps the limit itself; this timeout is for a converter that does not return at all.
        async with asyncio.timeout(job.limits.wall_s + OVERTIME_S):
            products = await converter.convert(job)
    except TimeoutError as error:
        raise EngineTimeout() from error
    if not products:
        raise OutputInvalid(detail=f"{converter.name} made nothing")
    return products


def limits_for(family: Family | None, settings: Settings, *, spent_s: float) -> Limits:
    """Return the limits of the next step, of which `spent_s` of the wall-clock limit are used up."""
    is_media = family in {Family.VIDEO, Family.AUDIO}
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


def source_path(folder: Path, step: Step) -> Path:
    """Make the folder of a step and return the path of its source.

    Each step has a folder of its own, because a program sees the folder of its step and nothing else.
    """
    step_folder = folder / f"{step.source_format}-to-{step.target_format}"
    step_folder.mkdir(mode=0o700)
    return step_folder / f"source.{step.source_format}"


def _move_into_step(products: Sequence[Product], step: Step) -> Path:
    if len(products) != 1:
        raise OutputInvalid(detail="only the last step of a plan may make several files")
    product = products[0].path
    return product.rename(source_path(product.parent.parent, step))


class Span(msgspec.Struct, frozen=True):
    """A part of the whole progress, in percent of the whole; a step reports 0 to 100 within it."""

    start: float
    end: float

    def at(self, percent: float | None) -> float | None:
        """Return percent of the whole for percent of this part; None stays None."""
        return None if percent is None else self.start + (self.end - self.start) * min(max(percent, 0), 100) / 100

    def report_to(self, report: Report) -> Report:
        """Return a callback that reports this part's progress as progress of the whole."""
        return lambda percent, stage: report(self.at(percent), stage)


def spans(weights: list[float], *, start: float, end: float) -> list[Span]:
    """Divide the way from start to end by weight, in order."""
    total = sum(weights) or 1.0
    edges = [start + (end - start) * sum(weights[:number]) / total for number in range(len(weights) + 1)]
    return [Span(low, high) for low, high in itertools.pairwise(edges)]
