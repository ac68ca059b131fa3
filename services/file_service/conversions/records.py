"""Use cases of existing conversions: list, fetch, results, history, cancel, delete."""

from collections.abc import Iterable

import structlog

from converto_core.conversion.history import History, history_of
from converto_core.conversion.record import Conversion, Output, Status
from converto_core.conversion.transitions import cancel_waiting, request_cancel
from converto_core.errors import Conflict, InvalidRequest, NotFound, ResultLost
from converto_core.ids import now_ms
from converto_core.ports.objects import ObjectStore, PresignedRequest
from converto_core.ports.stores import ConversionFilter, ConversionStore, HistoryStore
from file_service.conversions.conversion_objects import ConversionDeletion
from file_service.conversions.output_check import OutputCheck
from file_service.delivery.dispatch import Dispatch
from file_service.uploads.files import Files

SHOWN_INLINE = ("image/", "video/", "audio/", "application/pdf", "text/plain")
"""Types a browser may display: none of them can run scripts. `_may_be_inline` excludes SVG."""
PAGE = 200
"""How many waiting conversions of a deleted file are cancelled with one call to the store."""
MAX_TRIES = 3
"""A conversion may change its status between two conditional updates; then it is read again."""

log = structlog.get_logger()


class Records:
    """Reads, cancels and deletes conversions, each for one owner; those of other owners raise `NotFound`."""

    def __init__(
        self,
        conversions: ConversionStore,
        history: HistoryStore,
        objects: ObjectStore,
        *,
        deletion: ConversionDeletion,
        output_check: OutputCheck,
        files: Files,
        dispatch: Dispatch,
    ) -> None:
        self._conversions = conversions
        self._deletion = deletion
        self._output_check = output_check
        self._history = history
        self._objects = objects
        self._files = files
        self._dispatch = dispatch

    async def get(self, owner: str, conversion_id: str) -> Conversion:
        """Return the conversion; raises `NotFound`."""
        conversion = await self._conversions.get(conversion_id, owner=owner)
        if conversion is None:
            raise NotFound("You have no conversion with this id")
        return conversion

    async def own_ids(self, owner: str, conversion_ids: Iterable[str]) -> set[str]:
        """Return the ids among these that belong to the owner."""
        found = [await self._conversions.get(one, owner=owner) for one in conversion_ids]
        return {conversion.id for conversion in found if conversion is not None}

    async def find(self, query: ConversionFilter) -> list[Conversion]:
        """Return the matching conversions, newest first; the query names the owner."""
        return await self._conversions.find(query)

    async def history(self, owner: str, conversion_id: str) -> History:
        """Return the conversion's history, oldest first; raises `NotFound`."""
        conversion = await self.get(owner, conversion_id)
        return history_of(conversion, await self._history.of(conversion_id, owner=owner))

    async def outputs(self, owner: str, conversion_id: str) -> list[tuple[Output, PresignedRequest]]:
        """Return the outputs with presigned downloads; raises `Conflict` unless it is completed, and `ResultLost`."""
        conversion = await self._completed(owner, conversion_id)
        await self._output_check.all(conversion)
        return [(output, await self._presign(output)) for output in conversion.outputs]

    async def output(self, owner: str, conversion_id: str, number: int, *, inline: bool) -> PresignedRequest:
        """Return the presigned download of an output, counted from 1; raises `NotFound` past the end, `ResultLost`."""
        conversion = await self._completed(owner, conversion_id)
        outputs = conversion.outputs
        if not 1 <= number <= len(outputs):
            raise NotFound(f"There is no output {number}; this conversion has {len(outputs)}, counted from 1")
        await self._output_check.one(conversion, outputs[number - 1])
        return await self._presign(outputs[number - 1], inline=inline)

    async def with_lost_result(self, conversion: Conversion) -> Conversion:
        """Return a completed conversion as it is after its outputs were compared with the object store."""
        try:
            await self._output_check.all(conversion)
        except ResultLost:
            log.info("result.lost_before_retry", conversion_id=conversion.id)
        return await self.get(conversion.owner, conversion.id)

    async def cancel(self, owner: str, conversion_id: str) -> Conversion:
        """Cancel a waiting conversion, or ask the worker of a running one to; raises `Conflict` if it has ended."""
        for _ in range(MAX_TRIES):
            conversion = await self.get(owner, conversion_id)
            if conversion.is_terminal:
                raise Conflict(f"The conversion is already {conversion.status}")
            changes = (cancel_waiting, request_cancel)
            for change in changes:
                if after := await self._dispatch.apply(change(conversion_id, owner=owner, now_ms=now_ms())):
                    return after
        raise Conflict("The conversion keeps changing its status; send the request again")

    async def delete(self, owner: str, conversion_id: str) -> None:
        """Delete the record, then its objects; raises `Conflict` unless the conversion has ended."""
        for _ in range(MAX_TRIES):
            conversion = await self.get(owner, conversion_id)
            if not conversion.is_terminal:
                raise Conflict(f"The conversion is {conversion.status}; cancel it before deleting it")
            # Listed first: while the object store is away, the request fails before anything is deleted.
            objects = await self._deletion.find_objects(conversion)
            if await self._deletion.delete(conversion, objects):
                log.info("conversion.deleted", conversion_id=conversion_id, objects=len(objects))
                return
        raise Conflict("The conversion keeps changing its status; send the request again")

    async def delete_file(self, owner: str, file_id: str) -> None:
        """Delete a file and its bytes, and cancel its conversions that have not started."""
        file = await self._files.delete(owner, file_id)
        statuses = (Status.AWAITING_UPLOAD, Status.PENDING)
        query = ConversionFilter(owner=owner, file_id=file.id, statuses=statuses, limit=PAGE)
        while waiting := await self._conversions.find(query):
            for conversion in waiting:
                await self._dispatch.apply(cancel_waiting(conversion.id, owner=owner, now_ms=now_ms()))

    async def _completed(self, owner: str, conversion_id: str) -> Conversion:
        conversion = await self.get(owner, conversion_id)
        if conversion.status is not Status.COMPLETED:
            raise Conflict(f"The conversion is {conversion.status}; it has outputs only once it is completed")
        return conversion

    async def _presign(self, output: Output, *, inline: bool = False) -> PresignedRequest:
        return await self._objects.presign_get(
            output.key,
            filename=output.filename,
            content_type=output.content_type,
            inline=inline and _may_be_inline(output.content_type),
        )


def _may_be_inline(content_type: str) -> bool:
    return content_type.startswith(SHOWN_INLINE) and not content_type.startswith("image/svg")


def check_number(untrusted_number: str) -> int:
    """Parse the output number of a path; raises `InvalidRequest`."""
    if not (untrusted_number.isascii() and untrusted_number.isdigit() and len(untrusted_number) <= 6):
        raise InvalidRequest("The output number must be a whole number, counted from 1")
    return int(untrusted_number)
