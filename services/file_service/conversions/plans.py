"""Dry runs: the steps of a conversion, its expected duration on this installation, and what it would lose."""

import time
from collections.abc import Callable, Sequence

import msgspec

from converto_core.catalogue import Offer
from converto_core.conversion.estimate import expected
from converto_core.conversion.record import Conversion, Status, Step
from converto_core.errors import InvalidRequest
from converto_core.formats import Format, format_named, format_of_name
from converto_core.ports.stores import ConversionFilter, ConversionStore
from converto_engines import planner
from file_service.conversions.offers import Offers, target_named
from file_service.conversions.passwords import without_password
from file_service.http.schemas.catalogue import NewPlan, PlanBody, PlanStep
from file_service.http.schemas.conversions import SecondsBody
from file_service.uploads.files import Files
from file_service.uploads.naming import clean_filename

RUNS = 50
"""How many of the newest conversions between the same formats the estimate uses."""
CACHE_S = 30.0


class Plans:
    """Plans for an owner's file, for a file name, or for a format; nothing is stored."""

    def __init__(
        self,
        store: ConversionStore,
        *,
        files: Files,
        offers: Offers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._files, self._offers, self._clock = store, files, offers, clock
        self._durations: dict[tuple[str, str], tuple[float, list[float]]] = {}

    async def make(self, owner: str, new: NewPlan) -> PlanBody:
        """Plan a conversion as creating it would; raises the same errors. A password is not tried."""
        target = target_named(new.target_format)
        options, password = without_password(new.options)
        has_password = password is not None
        source = await self._source(owner, new, has_password=has_password)
        plan = await self._offers.plan(source.name, target, options, has_password=has_password)
        offers = await self._offers.known()
        time_range = expected(await self._past_durations_s(source.name, target), planner.typical_s(plan.steps, offers))
        return PlanBody(
            source_format=source.name,
            target_format=target,
            steps=[_step(step, offers) for step in plan.steps],
            options_schema=planner.merged_schema(plan.steps, offers),
            expected=msgspec.convert(time_range, SecondsBody, from_attributes=True),
            losses=planner.losses_of(plan.steps, offers),
        )

    async def _source(self, owner: str, new: NewPlan, *, has_password: bool) -> Format:
        if sum(given is not None for given in (new.file_id, new.filename, new.source_format)) != 1:
            raise InvalidRequest("Provide exactly one of file_id (an existing file), filename or source_format")
        if new.file_id is not None:
            file = await self._files.get(owner, new.file_id)
            return await self._files.identify(file, has_password=has_password)
        found = format_named(new.source_format or "") or format_of_name(clean_filename(new.filename or ""))
        if found is None:
            unknown = new.source_format or new.filename
            raise InvalidRequest(f'"{unknown}" does not name a known format; GET /api/v1/formats lists all formats')
        return found

    async def _past_durations_s(self, source: str, target: str) -> list[float]:
        """Return how long the newest conversions between these formats took, of all owners."""
        read_at, durations = self._durations.get((source, target), (float("-inf"), []))
        if self._clock() - read_at > CACHE_S:
            query = ConversionFilter(
                source_format=source, target_format=target, statuses=(Status.COMPLETED,), limit=RUNS
            )
            durations = [run for one in await self._store.find(query) if (run := _duration_s(one)) is not None]
            self._durations[source, target] = self._clock(), durations
        return durations


def _step(step: Step, offers: Sequence[Offer]) -> PlanStep:
    offer = next(offer for offer in offers if offer.converter == step.converter)
    return PlanStep(
        converter=step.converter,
        engine=offer.engine,
        engine_version=offer.engine_version,
        source_format=step.source_format,
        target_format=step.target_format,
    )


def _duration_s(conversion: Conversion) -> float | None:
    if conversion.started_at is None or conversion.completed_at is None or conversion.cached_from is not None:
        return None
    return max(conversion.completed_at - conversion.started_at, 0) / 1000
