"""Completes a conversion at once when an earlier one has the same result.

Any failure here is logged and the conversion goes to a worker, which checks the cache again before it runs an engine.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from converto_core.conversion.cache_key import cache_key, copied_outputs, has_result
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Output
from converto_core.conversion.stored_outputs import copy_output
from converto_core.conversion.transitions import complete_from_cache, lose_result
from converto_core.errors import DependencyUnavailable, ResultLost
from converto_core.files.record import File
from converto_core.ids import now_ms
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.settings import Settings
from file_service.conversions.offers import Offers, Plan

COPY_TIMEOUT_S = 3.0
"""How long a request waits for the copies; after that a worker makes them."""
MAX_OUTPUTS, MAX_BYTES = 16, 64 * 1024**2
"""Limits of what is copied while a client waits; a worker copies larger results under its lease."""

log = structlog.get_logger()


class ResultCache:
    """Finds and copies the results of earlier conversions."""

    def __init__(
        self,
        cache: CacheStore,
        *,
        conversions: ConversionStore,
        objects: ObjectStore,
        offers: Offers,
        settings: Settings,
    ) -> None:
        self._cache = cache
        self._conversions = conversions
        self._objects = objects
        self._offers = offers
        self._settings = settings

    async def completion(self, conversion: Conversion, file: File, plan: Plan) -> Change | None:
        """Return the change that completes the conversion with copies of an earlier result, or None."""
        try:
            async with asyncio.timeout(COPY_TIMEOUT_S):
                return await self._completion(conversion, file, plan)
        except (DependencyUnavailable, TimeoutError) as error:
            log.warning("cache.passed_over", conversion_id=conversion.id, reason=repr(error))
            return None

    async def _completion(self, conversion: Conversion, file: File, plan: Plan) -> Change | None:
        earlier = await self._earlier(conversion, file, plan)
        if earlier is None:
            return None
        outputs = await self._copies(conversion, earlier)
        if outputs is None:
            return None
        log.info("cache.hit", conversion_id=conversion.id, made_by=earlier.id)
        return complete_from_cache(
            conversion,
            source_format=plan.source_format,
            plan=plan.steps,
            family=plan.family,
            outputs=outputs,
            made=earlier,
            now_ms=now_ms(),
        )

    async def _copies(self, conversion: Conversion, earlier: Conversion) -> tuple[Output, ...] | None:
        """Return proven copies of an earlier result; None, and its record says so, when that result is lost."""
        own = copied_outputs(conversion, earlier.outputs)
        try:
            pairs = zip(earlier.outputs, own, strict=True)
            return tuple([await copy_output(self._objects, source, target) for source, target in pairs])
        except ResultLost as error:
            log.warning("result.lost", conversion_id=earlier.id, reason=error.detail)
            await self._conversions.apply(lose_result(earlier, now_ms=now_ms()))
            return None

    async def _earlier(self, conversion: Conversion, file: File, plan: Plan) -> Conversion | None:
        key = await self._key(conversion, file, plan)
        entry = await self._cache.get(key) if key else None
        if entry is None or not (entry.owner == conversion.owner or self._settings.cache_across_owners):
            return None
        earlier = await self._conversions.get(entry.conversion_id)
        return earlier if earlier and has_result(entry, earlier) and _is_quick(earlier.outputs) else None

    async def _key(self, conversion: Conversion, file: File, plan: Plan) -> str | None:
        """Return None also for joined files and when the file's hash is unknown: only a worker reads all the bytes."""
        is_other_version = file.version != conversion.file_version
        if not self._settings.cache or conversion.fresh or conversion.appended or is_other_version or not file.sha256:
            return None
        planned = msgspec.structs.replace(conversion, source_format=plan.source_format, plan=plan.steps)
        return cache_key(
            planned,
            contents=(file.sha256,),
            offers=await self._offers.known(),
            is_for_all_owners=self._settings.cache_across_owners,
        )


def _is_quick(outputs: Sequence[Output]) -> bool:
    return len(outputs) <= MAX_OUTPUTS and sum(output.size_bytes for output in outputs) <= MAX_BYTES
