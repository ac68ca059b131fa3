"""Proves outputs before they are handed out, and marks conversions whose result is lost.

A presigned URL of a missing object would give its holder a 404 in XML, and that of a damaged one the wrong bytes.
"""

import asyncio
from collections.abc import Sequence

import structlog

from converto_core.conversion.record import Conversion, Output
from converto_core.conversion.stored_outputs import Verdict, judge, judge_content
from converto_core.conversion.transitions import find_result, lose_result
from converto_core.errors import Conflict, NotFound, ObjectStoreUnavailable, ResultLost
from converto_core.ids import now_ms
from converto_core.ports.objects import ObjectInfo, ObjectStore
from converto_core.ports.stores import ConversionStore
from file_service.conversions.conversion_objects import ConversionObjects

MAX_HEADS = 16
"""How many outputs are looked at one by one; the metadata of more comes from a listing, 1,000 with each call."""
MAX_HASHED_BYTES = 32 * 1024**2
"""How much is read while a client waits, where metadata proves nothing; clients check the hash of larger results."""
HASH_TIMEOUT_S = 1.0
SMALL_BYTES = 1024**2
"""A store that does not deliver this much within that time is as good as away; a larger result may just be slow."""
UNREADABLE = (
    "The object store is running but cannot read a result of this conversion, which may be damaged or blocked there. "
    "Please retry shortly; if it fails again, ask your administrator to check the object store"
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class OutputCheck:
    """Compares outputs with the object store; raises `ResultLost`, and `ObjectStoreUnavailable` for errors."""

    def __init__(self, conversions: ConversionStore, objects: ObjectStore) -> None:
        self._conversions = conversions
        self._objects = objects

    async def one(self, conversion: Conversion, output: Output) -> None:
        """Raise `ResultLost` if this output is missing or damaged."""
        await self._raise_if_lost(conversion, (output,))

    async def all(self, conversion: Conversion) -> None:
        """Raise `ResultLost` if any output is missing or damaged; clear the mark of a conversion that has all again."""
        verdicts = await self._raise_if_lost(conversion, conversion.outputs)
        if conversion.result_lost_at is not None:
            checked = zip(conversion.outputs, verdicts, strict=True)
            if unproven := [(output, verdict) for output, verdict in checked if verdict is Verdict.UNPROVEN]:
                raise lost_error(conversion, unproven)
            await self._conversions.apply(find_result(conversion, now_ms=now_ms()))
            log.info("result.found", conversion_id=conversion.id)

    async def _raise_if_lost(self, conversion: Conversion, outputs: Sequence[Output]) -> list[Verdict]:
        try:
            verdicts = await self._verdicts(conversion, outputs)
        except ObjectStoreUnavailable as error:
            raise await self._unavailable(error) from error
        bad = {Verdict.MISSING, Verdict.DAMAGED}
        lost = [(output, verdict) for output, verdict in zip(outputs, verdicts, strict=True) if verdict in bad]
        if not lost:
            return verdicts
        log.warning("result.lost", conversion_id=conversion.id, count=len(lost), first=lost[0][0].key)
        if await self._conversions.apply(lose_result(conversion, now_ms=now_ms())) is None:
            await self._raise_if_changed(conversion)
        raise lost_error(conversion, lost)

    async def _unavailable(self, error: ObjectStoreUnavailable) -> ObjectStoreUnavailable:
        """Return the error with a text that is true where the store answers, but not about these outputs."""
        try:
            await self._objects.ping()
        except ObjectStoreUnavailable:
            return error
        exact = ObjectStoreUnavailable(UNREADABLE, detail=error.detail)
        exact.retry_after_s = error.retry_after_s
        return exact

    async def _raise_if_changed(self, read: Conversion) -> None:
        """Raise unless the conversion is still what was read: an expired or deleted result is not a lost one."""
        now = await self._conversions.get(read.id)
        if now is None:
            raise NotFound("The conversion was deleted meanwhile")
        if (now.status, now.token) != (read.status, read.token):
            raise Conflict(f"The conversion is {now.status} now; send the request again")

    async def _verdicts(self, conversion: Conversion, outputs: Sequence[Output]) -> list[Verdict]:
        found = await self._metadata(conversion, outputs)
        verdicts = [judge(output, info) for output, info in zip(outputs, found, strict=True)]
        size_bytes = sum(output.size_bytes for output in outputs)
        if len(outputs) > MAX_HEADS or size_bytes > MAX_HASHED_BYTES or Verdict.UNPROVEN not in verdicts:
            return verdicts
        try:
            async with asyncio.timeout(HASH_TIMEOUT_S):
                return [
                    await judge_content(self._objects, output) if verdict is Verdict.UNPROVEN else verdict
                    for output, verdict in zip(outputs, verdicts, strict=True)
                ]
        except TimeoutError as error:
            if size_bytes <= SMALL_BYTES or conversion.result_lost_at is not None:
                raise ObjectStoreUnavailable(detail=f"no result was read within {HASH_TIMEOUT_S:g} s") from error
            log.warning("result.unproven", conversion_id=conversion.id, size_bytes=size_bytes)
            return verdicts

    async def _metadata(self, conversion: Conversion, outputs: Sequence[Output]) -> list[ObjectInfo | None]:
        if len(outputs) <= MAX_HEADS:
            return list(await asyncio.gather(*(self._objects.head(output.key) for output in outputs)))
        listed = {entry.key: entry for entry in await ConversionObjects(self._objects).find(conversion)}
        return [
            ObjectInfo(size_bytes=entry.size_bytes, etag=entry.etag) if (entry := listed.get(output.key)) else None
            for output in outputs
        ]


def lost_error(conversion: Conversion, lost: Sequence[tuple[Output, Verdict]]) -> ResultLost:
    """Return the error that names each lost output and says how to get it back."""
    what = f"{lost[0][0].filename} is {lost[0][1]}"
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    error = ResultLost(
        f"The object store has lost a result of this conversion: {what}{more}. "
        f"POST /api/v1/conversions/{conversion.id}/retry makes it again from the source"
    )
    numbers = {output.key: number for number, output in enumerate(conversion.outputs, start=1)}
    error.errors = [(f"/outputs/{numbers[output.key]}", f"{output.filename} is {verdict}") for output, verdict in lost]
    return error
