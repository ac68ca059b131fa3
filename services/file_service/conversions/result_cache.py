"""Completes a conversion at once when the same was made before. It knows no HTTP.

Whatever goes wrong here is logged and the usual way goes on: a worker looks again, and runs the engine if it has to.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from converto_core.conversion.cache_key import cache_key, copied_outputs, has_result
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Output
from converto_core.conversion.transitions import complete_from_cache
from converto_core.errors import DependencyUnavailable, SourceGone
from converto_core.files.record import File
from converto_core.ids import now_ms
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import CacheStore, ConversionStore
from converto_infra.settings import Settings
from file_service.conversions.offers import Offers, Plan

PATIENCE_S = 3.0
"""A request waits no longer than this for copies; then a worker makes them."""
MOST_OUTPUTS, MOST_BYTES = 16, 64 * 1024**2
"""What is copied while a client waits; larger results are copied by a worker, under its lease."""

log = structlog.get_logger()


class ResultCache:
    """Results that are there already."""

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
        """The change that completes a waiting conversion with copies of an earlier result; None when there is none."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._completion(conversion, file, plan)
        except (DependencyUnavailable, SourceGone, TimeoutError) as error:
            log.warning("cache.passed_over", conversion_id=conversion.id, reason=repr(error))
            return None

    async def _completion(self, conversion: Conversion, file: File, plan: Plan) -> Change | None:
        made = await self._made_before(conversion, file, plan)
        if made is None:
            return None
        outputs = copied_outputs(conversion, made.outputs)
        await self._copy(made.outputs, outputs)
        log.info("cache.hit", conversion_id=conversion.id, made_by=made.id)
        return complete_from_cache(
            conversion,
            source_format=plan.source_format,
            plan=plan.steps,
            family=plan.family,
            outputs=outputs,
            made=made,
            now_ms=now_ms(),
        )

    async def _made_before(self, conversion: Conversion, file: File, plan: Plan) -> Conversion | None:
        key = await self._key(conversion, file, plan)
        entry = await self._cache.get(key) if key else None
        if entry is None or not (entry.owner == conversion.owner or self._settings.cache_across_owners):
            return None
        made = await self._conversions.get(entry.conversion_id)
        return made if made is not None and has_result(entry, made) and _is_quick(made.outputs) else None

    async def _key(self, conversion: Conversion, file: File, plan: Plan) -> str | None:
        """None also when the file's hash is not known yet: a worker will see the bytes. So it is for joined files."""
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

    async def _copy(self, sources: Sequence[Output], targets: Sequence[Output]) -> None:
        for source, target in zip(sources, targets, strict=True):
            await self._objects.copy(
                source.key,
                target.key,
                size_bytes=target.size_bytes,
                content_type=target.content_type,
                filename=target.filename,
            )


def _is_quick(outputs: Sequence[Output]) -> bool:
    return len(outputs) <= MOST_OUTPUTS and sum(output.size_bytes for output in outputs) <= MOST_BYTES
