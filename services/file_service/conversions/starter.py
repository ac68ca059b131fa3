"""Starts conversions whose file is uploaded: they become pending, completed from the result cache, or failed."""

from collections.abc import Sequence

import structlog

from converto_core.conversion.record import Conversion, Status
from converto_core.conversion.transitions import confirm, refuse
from converto_core.errors import BadOptions, BadSource, ConvertoError, UnsupportedConversion
from converto_core.files.record import File
from converto_core.ids import now_ms
from converto_core.ports.stores import ConversionFilter, ConversionStore
from file_service.conversions.offers import Offers, Plan
from file_service.conversions.records import Records
from file_service.conversions.result_cache import ResultCache
from file_service.delivery.dispatch import Dispatch
from file_service.http.schemas.files import PartEtag
from file_service.uploads.files import Files

PAGE = 200
"""How many conversions of one file are read with one call to the store."""

log = structlog.get_logger()


class Starter:
    """Starts conversions; safe to repeat, because every change holds only while the conversion waits for its upload."""

    def __init__(
        self,
        store: ConversionStore,
        *,
        records: Records,
        files: Files,
        offers: Offers,
        result_cache: ResultCache,
        dispatch: Dispatch,
    ) -> None:
        self._store = store
        self._records = records
        self._files = files
        self._offers = offers
        self._result_cache = result_cache
        self._dispatch = dispatch

    async def confirm_upload(
        self, owner: str | None, file_id: str, parts: Sequence[PartEtag] | None = None
    ) -> tuple[File, list[Conversion]]:
        """Verify the uploaded bytes, then start or fail every conversion that waits for them.

        `owner` is None for housekeeping. Returns the file and its conversions, newest first. Raises `NoWorker` when no
        worker has registered; the conversions then keep waiting, and the confirmation can be repeated.
        """
        file = await self._files.confirm(owner, file_id, parts)
        return file, await self._start_waiting(file)

    async def start(self, conversion: Conversion, file: File, plan: Plan) -> Conversion:
        """Make the conversion pending, or complete it if the result cache has the same result (behaviour I8)."""
        change = await self._result_cache.completion(conversion, file, plan) or confirm(
            conversion, source_format=plan.source_format, plan=plan.steps, family=plan.family, now_ms=now_ms()
        )
        return await self._dispatch.apply(change) or await self._records.get(conversion.owner, conversion.id)

    async def start_or_fail(self, conversion: Conversion, file: File) -> Conversion:
        """Start the conversion, or fail it if its file or its options turn out to be unusable."""
        try:
            plan = await self.plan(file, conversion)
        except (BadSource, BadOptions, UnsupportedConversion) as error:
            return await self._fail(conversion, file, error)
        return await self.start(conversion, file, plan)

    async def plan(self, file: File, conversion: Conversion) -> Plan:
        """Plan the conversion by the file's actual content."""
        has_password = conversion.has_password
        source = await self._files.identify(file, has_password=has_password)
        return await self._offers.plan(
            source.name, conversion.target_format, conversion.options, has_password=has_password
        )

    async def _start_waiting(self, file: File) -> list[Conversion]:
        newest = await self._of_file(file, ())
        after = [await self.start_or_fail(one, file) if one.status is Status.AWAITING_UPLOAD else one for one in newest]
        older = newest[PAGE - 1 :]
        while older and (waiting := await self._of_file(file, (Status.AWAITING_UPLOAD,))):
            for conversion in waiting:
                await self.start_or_fail(conversion, file)
        return after

    async def _of_file(self, file: File, statuses: tuple[Status, ...]) -> list[Conversion]:
        query = ConversionFilter(owner=file.owner, file_id=file.id, statuses=statuses, limit=PAGE)
        return await self._store.find(query)

    async def _fail(self, conversion: Conversion, file: File, error: ConvertoError) -> Conversion:
        change = refuse(
            conversion,
            code=error.stable_code,
            message=error.public_message,
            now_ms=now_ms(),
            source_format=file.detected_format,
        )
        log.info("conversion.refused", conversion_id=conversion.id, code=error.stable_code)
        return await self._dispatch.apply(change) or await self._records.get(conversion.owner, conversion.id)
