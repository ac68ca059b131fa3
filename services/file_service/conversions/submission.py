"""Use cases that submit conversions: create with JSON, create from a form, retry.

A request that cannot work is refused before anything is stored. What only the uploaded bytes can show ends as `failed`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from converto_core.access import NewIds
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.conversion.transitions import retry
from converto_core.errors import Conflict, DuplicateKey, InvalidRequest, NotFound, PasswordMissing, TooLarge
from converto_core.files.record import File, FileStatus
from converto_core.formats import Format, format_of_name
from converto_core.ids import now_ms
from converto_core.ports.stores import ConversionStore
from converto_engines.sniffing import sniff
from file_service.conversions.joining import joined
from file_service.conversions.offers import Offers, Plan, target_named
from file_service.conversions.pending_limit import PendingLimit
from file_service.conversions.records import Records
from file_service.conversions.starter import Starter
from file_service.delivery.dispatch import Dispatch
from file_service.http.schemas.conversions import FormFields, NewConversion
from file_service.http.schemas.files import NewFile, UploadBody
from file_service.uploads.files import Files
from file_service.uploads.naming import clean_filename


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A new conversion and its file; `upload` says how to send the bytes while they are missing."""

    conversion: Conversion
    file: File
    upload: UploadBody | None = None


class FormUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A file from a form, stored in a temporary folder."""

    path: Path
    filename: str
    size_bytes: int
    content_type: str | None


class Submission:
    """Submits conversions, each for one owner; files and conversions of other owners raise `NotFound`."""

    def __init__(
        self,
        store: ConversionStore,
        *,
        records: Records,
        files: Files,
        offers: Offers,
        starter: Starter,
        dispatch: Dispatch,
        pending_limit: PendingLimit,
    ) -> None:
        self._store = store
        self._records = records
        self._files = files
        self._offers = offers
        self._starter = starter
        self._dispatch = dispatch
        self._pending_limit = pending_limit

    async def create(
        self, owner: str, new: NewConversion, new_ids: NewIds, *, sealed_password: str | None = None
    ) -> Created:
        """Create a conversion of a new file (it waits for the upload) or of an uploaded one (it starts at once).

        `sealed_password` opens an encrypted source. Raises `UnsupportedConversion`, `BadOptions`, `BadSource`,
        `NoWorker` and `TooManyPending` before anything is stored. A repeated call with the same ids returns the records
        of the first.
        """
        await self._pending_limit.check(owner)
        target = target_named(new.target_format)
        draft = _Draft(target, new, new_ids.conversion_id, sealed_password)
        if new.append_file_ids and (new.file_id is None or new.file is not None):
            raise InvalidRequest("append_file_ids requires file_id: upload all files first, then join them")
        if new.file is not None and new.file_id is None:
            return await self._create_with_file(owner, draft, new.file, file_id=new_ids.file_id)
        if new.file_id is not None and new.file is None:
            return await self._create_for_file(owner, draft, new.file_id, append_file_ids=new.append_file_ids)
        raise InvalidRequest("Provide exactly one of file_id (an existing file) or file (a new one)")

    async def create_from_form(
        self,
        owner: str,
        fields: FormFields,
        upload: FormUpload,
        *,
        max_bytes: int,
        new_ids: NewIds,
        sealed_password: str | None = None,
    ) -> Created:
        """Create a conversion of a small file sent with the request; its content is checked before it is stored."""
        await self._pending_limit.check(owner)
        target = target_named(fields.target_format)
        if upload.size_bytes > max_bytes:
            raise TooLarge(
                f"The file is {upload.size_bytes} bytes, but a form may send at most {max_bytes} bytes. For larger "
                "files, POST JSON to /api/v1/conversions and upload to the URL in the response"
            )
        new = NewFile(
            filename=clean_filename(upload.filename),
            size_bytes=upload.size_bytes,
            content_type=upload.content_type,
            client_id=fields.client_id,
        )
        self._files.check(new)
        sniffed = await asyncio.to_thread(sniff.sniff_path, upload.path, filename=new.filename)
        draft = _Draft(target, fields, new_ids.conversion_id, sealed_password)
        source = sniff.decide(new.filename, sniffed, has_password=draft.has_password)
        plan = await self._plan(source, draft)
        file = await self._files.store_form_upload(owner, new, upload.path, sniffed, file_id=new_ids.file_id)
        conversion = await self._insert(draft.conversion(file, fields.client_id))
        return Created(conversion=await self._starter.start(conversion, file, plan), file=file)

    async def retry(self, owner: str, conversion_id: str, *, sealed_password: str | None = None) -> Conversion:
        """Run a conversion again with a new plan; raises `Conflict` unless it has ended without a result.

        A completed conversion has no result any more when one of its outputs is missing or damaged. Raises `Gone` when
        the source is lost too, and `PasswordMissing` when the conversion had a password and gets none.
        """
        await self._pending_limit.check(owner)
        conversion = await self._records.get(owner, conversion_id)
        if conversion.status is Status.COMPLETED:
            conversion = await self._records.with_lost_result(conversion)
        if not conversion.is_terminal or (conversion.status is Status.COMPLETED and conversion.result_lost_at is None):
            raise Conflict(
                f"The conversion is {conversion.status}. Only conversions that failed, were cancelled, have expired or "
                "have lost their result can be retried"
            )
        if conversion.has_password and sealed_password is None:
            raise PasswordMissing()
        with_password = msgspec.structs.replace(conversion, has_password=sealed_password is not None)
        plan = await self._starter.plan(await self._source_of(owner, conversion), with_password)
        after = await self._dispatch.apply(
            retry(
                conversion,
                source_format=plan.source_format,
                plan=plan.steps,
                family=plan.family,
                now_ms=now_ms(),
                sealed_password=sealed_password,
            )
        )
        if after is None:
            raise Conflict("Another request has already retried this conversion")
        return after

    async def _create_with_file(self, owner: str, draft: "_Draft", file: NewFile, *, file_id: str) -> Created:
        self._files.check(file)
        claimed = format_of_name(clean_filename(file.filename))
        if claimed is not None:
            await self._plan(claimed, draft)
        client_id = draft.request.client_id
        declared = msgspec.structs.replace(file, client_id=file.client_id or client_id)
        record, upload = await self._files.create(owner, declared, file_id)
        conversion = await self._insert(draft.conversion(record, client_id or file.client_id))
        self._dispatch.publish(conversion)
        return Created(conversion=conversion, file=record, upload=upload)

    async def _create_for_file(
        self, owner: str, draft: "_Draft", file_id: str, *, append_file_ids: Sequence[str]
    ) -> Created:
        file = await self._files.get(owner, file_id)
        plan = await self._plan_for_file(file, draft)
        conversion = draft.conversion(file, draft.request.client_id or file.client_id)
        if append_file_ids:
            conversion = await joined(self._files, conversion, append_file_ids, file=file, plan=plan)
        conversion = await self._insert(conversion)
        if plan is not None and file.status is FileStatus.UPLOADED:
            return Created(conversion=await self._starter.start(conversion, file, plan), file=file)
        return await self._await_upload(owner, conversion)

    async def _plan_for_file(self, file: File, draft: "_Draft") -> Plan | None:
        if file.status is FileStatus.UPLOADED:
            return await self._plan(await self._files.identify(file, has_password=draft.has_password), draft)
        claimed = format_of_name(file.filename)
        return await self._plan(claimed, draft) if claimed else None

    async def _plan(self, source: Format, draft: "_Draft") -> Plan:
        return await self._offers.plan(
            source.name, draft.target_format, draft.request.options, has_password=draft.has_password
        )

    async def _await_upload(self, owner: str, conversion: Conversion) -> Created:
        """Read the file again: a confirmation that ran meanwhile has not seen this conversion."""
        file = await self._files.get(owner, conversion.file_id)
        if file.status is FileStatus.UPLOADED:
            return Created(conversion=await self._starter.start_or_fail(conversion, file), file=file)
        self._dispatch.publish(conversion)
        return Created(conversion=conversion, file=file)

    async def _insert(self, conversion: Conversion) -> Conversion:
        """Insert the record, or return the one that an earlier attempt of the same request has stored."""
        try:
            await self._store.insert(conversion)
        except DuplicateKey:
            return await self._records.get(conversion.owner, conversion.id)
        return conversion

    async def _source_of(self, owner: str, conversion: Conversion) -> File:
        try:
            file = await self._files.get(owner, conversion.file_id)
        except NotFound as error:
            raise Conflict("The source file was deleted; upload it again with a new conversion") from error
        if file.status is not FileStatus.UPLOADED:
            raise Conflict("The source file was never uploaded; create a new conversion and upload it")
        if file.version == conversion.file_version:
            await self._files.check_stored(file)
        return file


class _Draft(msgspec.Struct, frozen=True):
    """A conversion before its file is known."""

    target_format: str
    request: NewConversion | FormFields
    new_id: str
    sealed_password: str | None

    @property
    def has_password(self) -> bool:
        return self.sealed_password is not None

    def conversion(self, file: File, client_id: str | None) -> Conversion:
        now = now_ms()
        claimed = format_of_name(file.filename)
        return Conversion(
            id=self.new_id,
            owner=file.owner,
            file_id=file.id,
            file_version=file.version,
            filename=file.filename,
            source_format=file.detected_format or (claimed.name if claimed else None),
            target_format=self.target_format,
            source_sha256=file.sha256,
            options=self.request.options,
            has_password=self.has_password,
            sealed_password=self.sealed_password,
            fresh=self.request.fresh,
            lane=Lane(self.request.lane),
            client_id=client_id,
            created_at=now,
            updated_at=now,
        )
