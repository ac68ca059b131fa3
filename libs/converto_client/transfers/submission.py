"""Submits one local file: announce it, upload its bytes, confirm; or resume where an earlier run stopped.

A `ResumeStore`, if given, keeps the state between runs.
"""

import asyncio
from typing import Any, TypeVar

import msgspec

from converto_client.errors import NotFound, ProblemError, UploadIncomplete
from converto_client.models import Confirmed, ConversionRecord, Created, FileRecord, FileWithUpload, StoredPart, Upload
from converto_client.transfers.resume import Begun, ResumeStore, resume_key
from converto_client.transfers.source import OnBytes, Source
from converto_client.transfers.upload import fresh_upload, upload_of
from converto_client.transport import Transport

Answer = TypeVar("Answer")

CONFIRM_ATTEMPTS = 5
_SERVER_ERROR = 500


class _Outdated(Exception):
    """The state that an earlier run left cannot be resumed."""


class Submission:
    """One request with a local file. `body` is the body of the POST that announces it."""

    def __init__(
        self, transport: Transport, resume: ResumeStore | None, source: Source, body: dict[str, Any], on_bytes: OnBytes
    ) -> None:
        self._transport = transport
        self._resume = resume
        self._source = source
        self._body = body
        self._on_bytes = on_bytes
        self._key = resume_key(transport.url, source, body)

    async def file(self) -> FileRecord:
        """Upload the file without converting it; returns its confirmed record."""
        begun = await self._begin()
        if begun.file_id is not None:
            try:
                file = (
                    await self._upload_and_confirm(begun.file_id, await fresh_upload(self._transport, begun.file_id))
                ).file
            except NotFound:
                begun = await self._restart()
            else:
                await self.forget()
                return file
        created = await self._announce("/files", FileWithUpload, begun)
        await self._store(begun, created.file.id)
        confirmed = await self._upload_and_confirm(created.file.id, created.upload)
        await self.forget()
        return confirmed.file

    async def conversion(self) -> ConversionRecord:
        """Upload and convert the file; returns the conversion once the upload is confirmed."""
        begun = await self._begin()
        try:
            if begun.file_id is not None and begun.conversion_id is not None:
                return await self._resume_conversion(begun.file_id, begun.conversion_id)
        except (NotFound, _Outdated):
            begun = await self._restart()
        created = await self._announce("/conversions", Created, begun)
        await self._store(begun, created.file.id, created.conversion.id)
        confirmed = await self._upload_and_confirm(created.file.id, created.upload)
        return await self._conversion_in(confirmed, created.conversion.id)

    async def forget(self) -> None:
        """Make the next run start from the beginning."""
        if self._resume is not None:
            await asyncio.to_thread(self._resume.forget, self._key)

    async def _resume_conversion(self, file_id: str, conversion_id: str) -> ConversionRecord:
        record = await self._transport.call("GET", f"/conversions/{conversion_id}", ConversionRecord)
        if record.status == "awaiting_upload":
            confirmed = await self._upload_and_confirm(file_id, await fresh_upload(self._transport, file_id))
            return await self._conversion_in(confirmed, conversion_id)
        if record.is_terminal and record.status != "completed":
            raise _Outdated
        self._on_bytes(self._source.size_bytes)
        return record

    async def _upload_and_confirm(self, file_id: str, upload: Upload | None) -> Confirmed:
        if upload is None:
            self._on_bytes(self._source.size_bytes)
            return await self._confirm(file_id, ())
        sending = upload_of(self._transport, file_id, self._source, upload, self._on_bytes)
        attempt = 0
        while True:
            attempt += 1
            parts = await sending.send()
            await self._source.check_unchanged()
            try:
                return await self._confirm(file_id, parts)
            except UploadIncomplete:
                # Some object stores list a new object only after a moment; or the store has lost the parts since.
                if attempt >= CONFIRM_ATTEMPTS:
                    raise
                await self._transport.sleep(self._transport.retry.pause_s(attempt, None))

    async def _confirm(self, file_id: str, parts: tuple[StoredPart, ...]) -> Confirmed:
        listed = [{"part_number": part.part_number, "etag": part.etag} for part in parts]
        body = {"parts": listed} if listed else {}
        return await self._transport.call("POST", f"/files/{file_id}/uploaded", Confirmed, body=body)

    async def _conversion_in(self, confirmed: Confirmed, conversion_id: str) -> ConversionRecord:
        for record in confirmed.conversions:
            if record.id == conversion_id:
                return record
        return await self._transport.call("GET", f"/conversions/{conversion_id}", ConversionRecord)

    async def _announce(self, path: str, answer: type[Answer], begun: Begun) -> Answer:
        """Announce the file. The server repeats a refusal for the same key, so the next run needs another one."""
        try:
            return await self._transport.call(
                "POST", path, answer, body=self._body, idempotency_key=begun.idempotency_key
            )
        except ProblemError as error:
            if error.status < _SERVER_ERROR:
                await self.forget()
            raise

    async def _begin(self) -> Begun:
        if self._resume is None:
            return ResumeStore.new_entry()
        return await asyncio.to_thread(self._resume.begin, self._key)

    async def _restart(self) -> Begun:
        await self.forget()
        return await self._begin()

    async def _store(self, begun: Begun, file_id: str, conversion_id: str | None = None) -> None:
        if self._resume is None:
            return
        known = msgspec.structs.replace(begun, file_id=file_id, conversion_id=conversion_id)
        await asyncio.to_thread(self._resume.keep, self._key, known)
