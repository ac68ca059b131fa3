"""Use cases that make conversions runnable: create, with JSON or a form, confirm an upload, retry. It knows no HTTP.

Whatever cannot work is refused before anything is stored; what is only seen when the bytes are there ends as `failed`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from converto_core.access import NewIds
from converto_core.conversion.record import Appended, Conversion, Lane, Status
from converto_core.conversion.transitions import confirm, refuse, retry
from converto_core.errors import (
    BadOptions,
    BadSource,
    Conflict,
    ConvertoError,
    DuplicateKey,
    InvalidRequest,
    NotFound,
    TooLarge,
    UnsupportedConversion,
)
from converto_core.files.record import File, FileStatus
from converto_core.formats import format_of_name
from converto_core.ids import now_ms
from converto_core.ports.stores import ConversionFilter, ConversionStore
from converto_engines.sniffing import sniff
from file_service.conversions.offers import Offers, Plan, target_named
from file_service.conversions.pending_limit import PendingLimit
from file_service.conversions.records import Records
from file_service.conversions.result_cache import ResultCache
from file_service.delivery.dispatch import Dispatch
from file_service.http.schemas import FormFields, NewConversion, NewFile, PartEtag, UploadBody
from file_service.uploads.files import Files
from file_service.uploads.naming import clean_filename

PAGE = 200
"""How many conversions of one file are settled with one call to the store."""

log = structlog.get_logger()


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A new conversion with its file, and how to upload the file if it is not there yet."""

    conversion: Conversion
    file: File
    upload: UploadBody | None = None


class FormUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came inside a form, on disk now."""

    path: Path
    filename: str
    size_bytes: int
    content_type: str | None


class Conversions:
    """What brings conversions on their way. Every call is made for one owner; another owner's records do not exist."""

    def __init__(
        self,
        store: ConversionStore,
        *,
        records: Records,
        files: Files,
        offers: Offers,
        earlier: ResultCache,
        dispatch: Dispatch,
        pending: PendingLimit,
    ) -> None:
        self._store = store
        self._records = records
        self._files = files
        self._offers = offers
        self._earlier = earlier
        self._dispatch = dispatch
        self._pending = pending

    async def create(self, owner: str, new: NewConversion, new_ids: NewIds) -> Created:
        """Of a file that is to be uploaded (then it waits) or of one that is there (then it is runnable at once).

        Raises `UnsupportedConversion`, `BadOptions`, `BadSource`, `NoWorker` and `TooManyPending` before anything is
        stored. Called again with the same ids it finds what is there already.
        """
        await self._pending.check(owner)
        target = target_named(new.target_format)
        if new.append_file_ids and (new.file_id is None or new.file is not None):
            raise InvalidRequest("append_file_ids goes with file_id: upload all files first, then join them")
        if new.file is not None and new.file_id is None:
            return await self._create_with_file(owner, new, new.file, target, new_ids=new_ids)
        if new.file_id is not None and new.file is None:
            return await self._create_for_file(owner, new, new.file_id, target, new_id=new_ids.conversion_id)
        raise InvalidRequest("Name either file_id (a file that is known) or file (a new one), not both or none")

    async def create_from_form(
        self, owner: str, fields: FormFields, upload: FormUpload, *, max_bytes: int, new_ids: NewIds
    ) -> Created:
        """Of a small file that came with the request: judged by its content before anything is stored."""
        await self._pending.check(owner)
        target = target_named(fields.target_format)
        if upload.size_bytes > max_bytes:
            raise TooLarge(
                f"The file has {upload.size_bytes} bytes; a form takes up to {max_bytes}. "
                "Send larger ones by POST /api/v1/conversions with JSON, which gives you an upload address"
            )
        new = NewFile(
            filename=clean_filename(upload.filename),
            size_bytes=upload.size_bytes,
            content_type=upload.content_type,
            client_id=fields.client_id,
        )
        self._files.check(new)
        sniffed = await asyncio.to_thread(sniff.sniff_path, upload.path, filename=new.filename)
        source = sniff.decide(new.filename, sniffed)
        plan = await self._offers.plan(source.name, target, fields.options)
        file = await self._files.store_form_upload(owner, new, upload.path, sniffed, new_ids.file_id)
        conversion = await self._insert(
            _new(file, target, fields, new_id=new_ids.conversion_id, client_id=fields.client_id)
        )
        return Created(conversion=await self._make_runnable(conversion, file, plan), file=file)

    async def confirm_upload(
        self, owner: str | None, file_id: str, parts: Sequence[PartEtag] | None = None
    ) -> tuple[File, list[Conversion]]:
        """The bytes are said to be there: check them, then let every conversion that waits for them run, or refuse it.

        `owner` None is for housekeeping. Safe to repeat: what was settled stays as it is.
        """
        file = await self._files.confirm(owner, file_id, parts)
        return file, await self._settle_waiting(file)

    async def retry(self, owner: str, conversion_id: str) -> Conversion:
        """Runs again, with a plan made anew; raises `Conflict` unless it failed, was cancelled or expired."""
        await self._pending.check(owner)
        conversion = await self._records.get(owner, conversion_id)
        if not conversion.is_terminal or conversion.status is Status.COMPLETED:
            raise Conflict(f"The conversion is {conversion.status}; only failed, cancelled and expired ones run again")
        plan = await self._plan(await self._source_of(owner, conversion), conversion)
        after = await self._dispatch.apply(
            retry(conversion, source_format=plan.source_format, plan=plan.steps, family=plan.family, now_ms=now_ms())
        )
        if after is None:
            raise Conflict("The conversion was started again by another request")
        return after

    async def _create_with_file(
        self, owner: str, new: NewConversion, file: NewFile, target: str, *, new_ids: NewIds
    ) -> Created:
        self._files.check(file)
        claimed = format_of_name(clean_filename(file.filename))
        if claimed is not None:
            await self._offers.plan(claimed.name, target, new.options)
        declared = msgspec.structs.replace(file, client_id=file.client_id or new.client_id)
        record, upload = await self._files.create(owner, declared, new_ids.file_id)
        client_id = new.client_id or file.client_id
        conversion = await self._insert(_new(record, target, new, new_id=new_ids.conversion_id, client_id=client_id))
        self._dispatch.tell(conversion)
        return Created(conversion=conversion, file=record, upload=upload)

    async def _create_for_file(
        self, owner: str, new: NewConversion, file_id: str, target: str, *, new_id: str
    ) -> Created:
        file = await self._files.get(owner, file_id)
        plan = await self._plan_for_file(file, target, new.options)
        conversion = _new(file, target, new, new_id=new_id, client_id=new.client_id or file.client_id)
        if new.append_file_ids:
            appended = await self._appended(owner, new.append_file_ids, file, plan)
            name = _joined_name(file.filename, len(appended))
            conversion = msgspec.structs.replace(conversion, appended=appended, filename=name)
        conversion = await self._insert(conversion)
        if plan is not None and file.status is FileStatus.UPLOADED:
            return Created(conversion=await self._make_runnable(conversion, file, plan), file=file)
        return await self._await_upload(owner, conversion)

    async def _insert(self, conversion: Conversion) -> Conversion:
        """Store it, or find the one that an earlier try of the same request has stored."""
        try:
            await self._store.insert(conversion)
        except DuplicateKey:
            return await self._records.get(conversion.owner, conversion.id)
        return conversion

    async def _appended(self, owner: str, ids: Sequence[str], file: File, plan: Plan | None) -> tuple[Appended, ...]:
        """The files to join to the first, in order; refuses what cannot be joined."""
        if plan is None or file.status is not FileStatus.UPLOADED:
            raise InvalidRequest("The file to join others to has not been uploaded yet")
        if not plan.joins:
            raise InvalidRequest(
                f"{plan.source_format} files cannot be joined on the way to {plan.steps[-1].target_format}"
            )
        return tuple([await self._joinable(owner, untrusted_id, plan) for untrusted_id in ids])

    async def _joinable(self, owner: str, untrusted_id: str, plan: Plan) -> Appended:
        file = await self._files.get(owner, untrusted_id)
        if file.status is not FileStatus.UPLOADED:
            raise InvalidRequest(f'"{file.filename}" has not been uploaded yet, so it cannot be joined')
        found = await self._files.identify(file)
        if found.name != plan.source_format:
            what = f"a {found.title}, not one of the format {plan.source_format}"
            raise InvalidRequest(f'"{file.filename}" cannot be joined: it is {what}')
        return Appended(file.id, file.version)

    async def _await_upload(self, owner: str, conversion: Conversion) -> Created:
        """Look at the file again: a confirmation that ran meanwhile has not seen this conversion."""
        file = await self._files.get(owner, conversion.file_id)
        if file.status is FileStatus.UPLOADED:
            return Created(conversion=await self._settle(conversion, file), file=file)
        self._dispatch.tell(conversion)
        return Created(conversion=conversion, file=file)

    async def _plan_for_file(self, file: File, target: str, options: dict[str, Any]) -> Plan | None:
        if file.status is FileStatus.UPLOADED:
            return await self._offers.plan((await self._files.identify(file)).name, target, options)
        claimed = format_of_name(file.filename)
        return await self._offers.plan(claimed.name, target, options) if claimed else None

    async def _plan(self, file: File, conversion: Conversion) -> Plan:
        source = await self._files.identify(file)
        return await self._offers.plan(source.name, conversion.target_format, conversion.options)

    async def _settle_waiting(self, file: File) -> list[Conversion]:
        """All conversions of a file after those that waited were settled, newest first.

        Without any worker `NoWorker` is raised and they go on waiting: the confirmation can be repeated.
        """
        newest = await self._of_file(file, ())
        settled = [await self._settle(one, file) if one.status is Status.AWAITING_UPLOAD else one for one in newest]
        older = newest[PAGE - 1 :]
        while older and (waiting := await self._of_file(file, (Status.AWAITING_UPLOAD,))):
            for conversion in waiting:
                await self._settle(conversion, file)
        return settled

    async def _of_file(self, file: File, statuses: tuple[Status, ...]) -> list[Conversion]:
        query = ConversionFilter(owner=file.owner, file_id=file.id, statuses=statuses, limit=PAGE)
        return await self._store.find(query)

    async def _settle(self, conversion: Conversion, file: File) -> Conversion:
        try:
            plan = await self._plan(file, conversion)
        except (BadSource, BadOptions, UnsupportedConversion) as error:
            return await self._refuse(conversion, file, error)
        return await self._make_runnable(conversion, file, plan)

    async def _make_runnable(self, conversion: Conversion, file: File, plan: Plan) -> Conversion:
        """Or completed at once, when the same was made before (behaviour I8)."""
        change = await self._earlier.completion(conversion, file, plan) or confirm(
            conversion, source_format=plan.source_format, plan=plan.steps, family=plan.family, now_ms=now_ms()
        )
        return await self._dispatch.apply(change) or await self._records.get(conversion.owner, conversion.id)

    async def _refuse(self, conversion: Conversion, file: File, error: ConvertoError) -> Conversion:
        change = refuse(
            conversion,
            code=error.stable_code,
            message=error.public_message,
            now_ms=now_ms(),
            source_format=file.detected_format,
        )
        log.info("conversion.refused", conversion_id=conversion.id, code=error.stable_code)
        return await self._dispatch.apply(change) or await self._records.get(conversion.owner, conversion.id)

    async def _source_of(self, owner: str, conversion: Conversion) -> File:
        try:
            file = await self._files.get(owner, conversion.file_id)
        except NotFound as error:
            raise Conflict("The source file was deleted; upload it again with a new conversion") from error
        if file.status is not FileStatus.UPLOADED:
            raise Conflict("The source file was never uploaded; create a new conversion for it")
        return file


def _joined_name(filename: str, more: int) -> str:
    """`a.pdf` and two others become `a-and-2-more.pdf`, so that the result is not taken for the first file."""
    stem, dot, extension = filename.rpartition(".")
    return f"{stem}-and-{more}-more{dot}{extension}" if stem else f"{filename}-and-{more}-more"


def _new(
    file: File, target_format: str, asked: NewConversion | FormFields, *, new_id: str, client_id: str | None
) -> Conversion:
    now = now_ms()
    claimed = format_of_name(file.filename)
    return Conversion(
        id=new_id,
        owner=file.owner,
        file_id=file.id,
        file_version=file.version,
        filename=file.filename,
        source_format=file.detected_format or (claimed.name if claimed else None),
        target_format=target_format,
        source_sha256=file.sha256,
        options=asked.options,
        fresh=asked.fresh,
        lane=Lane(asked.lane),
        client_id=client_id,
        created_at=now,
        updated_at=now,
    )
