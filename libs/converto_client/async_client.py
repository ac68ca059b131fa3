"""The asynchronous client: one method for each API call. `converto_client.client` is its blocking twin."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from converto_client.admin import AsyncAdmin
from converto_client.async_conversion import AsyncConversion, ignore, outputs_of
from converto_client.events import follow_all
from converto_client.models import (
    ConversionPage,
    ConversionRecord,
    Created,
    FilePage,
    FileRecord,
    Formats,
    Health,
    History,
    Identity,
    OutputLink,
    Plan,
    Workers,
)
from converto_client.retry import Retry
from converto_client.transfers.resume import ResumeStore
from converto_client.transfers.source import OnBytes, inspect
from converto_client.transfers.submission import Submission
from converto_client.transport import API, ApiKey, Sleep, Transport, decoded, segment, without_none

PAGE_LENGTH = 200


class AsyncConverto:
    """A client of one file service. Use it in an `async with` statement, or call `aclose()`."""

    def __init__(
        self,
        url: str,
        api_key: ApiKey = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        resume: ResumeStore | None = None,
        http: httpx2.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """With a `ResumeStore` a repeated call resumes after a crash; without one, each call starts a new conversion.

        `api_key` is an API key or an access token, or a function that is called before each request and returns one:
        tokens expire. `timeout_s` is the read timeout in seconds; `http` and `sleep` are for tests. Raises ValueError
        for a malformed URL.
        """
        self._transport = Transport(url, api_key, timeout_s=timeout_s, retry=retry, http=http, sleep=sleep)
        self._resume = resume

    @property
    def admin(self) -> AsyncAdmin:
        """Calls that need an administrator's key."""
        return AsyncAdmin(self._transport)

    async def __aenter__(self) -> Self:
        """Sends nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def convert(
        self,
        source: str | Path,
        to: str,
        *,
        options: Mapping[str, Any] | None = None,
        client_id: str | None = None,
        lane: str | None = None,
        fresh: bool = False,
        append: Sequence[str | Path] = (),
        password: str | None = None,
        on_bytes: OnBytes = ignore,
    ) -> AsyncConversion:
        """Upload a local file and convert it; returns as soon as the server has confirmed the upload.

        Files in `append` are uploaded too and appended to the first one in this order (PDF to PDF). `fresh` runs the
        conversion even when its result is cached. `password` opens an encrypted office document or PDF.
        """
        # With a password too the upload comes first, so that what is remembered of it on disk tells nothing about it.
        if append or password is not None:
            uploaded = [await self.upload(path, client_id=client_id, on_bytes=on_bytes) for path in (source, *append)]
            first, *more = [file.id for file in uploaded]
            chosen = {**(options or {}), **without_none(password=password)}
            return await self.convert_uploaded(
                first, to, options=chosen, client_id=client_id, lane=lane, fresh=fresh, append_file_ids=more
            )
        local = await inspect(source)
        request = without_none(
            target_format=to,
            options=dict(options or {}) or None,
            client_id=client_id,
            lane=lane,
            fresh=fresh or None,
        )
        body = {**request, "file": without_none(**local.declaration(), client_id=client_id)}
        submission = Submission(self._transport, self._resume, local, body, on_bytes)
        record = await submission.conversion()
        return AsyncConversion(self._transport, record, forget=submission.forget)

    async def upload(
        self, source: str | Path, *, client_id: str | None = None, on_bytes: OnBytes = ignore
    ) -> FileRecord:
        """Upload a local file without converting it."""
        local = await inspect(source)
        body = without_none(**local.declaration(), client_id=client_id)
        submission = Submission(self._transport, self._resume, local, body, on_bytes)
        return await submission.file()

    async def convert_uploaded(
        self,
        file_id: str,
        to: str,
        *,
        options: Mapping[str, Any] | None = None,
        client_id: str | None = None,
        lane: str | None = None,
        fresh: bool = False,
        append_file_ids: Sequence[str] = (),
        password: str | None = None,
    ) -> AsyncConversion:
        """Convert a file that is already uploaded, with other uploaded files appended (`append_file_ids`).

        `password` opens an encrypted office document or PDF.
        """
        body = without_none(
            file_id=file_id,
            append_file_ids=list(append_file_ids) or None,
            target_format=to,
            options={**(options or {}), **without_none(password=password)} or None,
            client_id=client_id,
            lane=lane,
            fresh=fresh or None,
        )
        created = await self._transport.call("POST", "/conversions", Created, body=body)
        return AsyncConversion(self._transport, created.conversion)

    async def conversion(self, conversion_id: str) -> AsyncConversion:
        """The handle of an existing conversion."""
        return AsyncConversion(self._transport, await self.status(conversion_id))

    async def status(self, conversion_id: str) -> ConversionRecord:
        """The current record of a conversion."""
        return await self._transport.call("GET", f"/conversions/{segment(conversion_id)}", ConversionRecord)

    async def page(
        self,
        *,
        status: Iterable[str] = (),
        client_id: str | None = None,
        file_id: str | None = None,
        target_format: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ConversionPage:
        """One page of conversions, newest first; `after` is the `next` of the previous page."""
        params = without_none(
            status=",".join(status) or None,
            client_id=client_id,
            file_id=file_id,
            target_format=target_format,
            limit=limit,
            after=after,
        )
        return await self._transport.call("GET", "/conversions", ConversionPage, params=params)

    async def conversions(
        self,
        *,
        status: Iterable[str] = (),
        client_id: str | None = None,
        file_id: str | None = None,
        target_format: str | None = None,
    ) -> AsyncGenerator[ConversionRecord, None]:
        """All conversions, newest first; pages are requested as needed."""
        after: str | None = None
        wanted = tuple(status)
        while True:
            page = await self.page(
                status=wanted,
                client_id=client_id,
                file_id=file_id,
                target_format=target_format,
                limit=PAGE_LENGTH,
                after=after,
            )
            for record in page.conversions:
                yield record
            if page.next is None:
                return
            after = page.next

    async def history(self, conversion_id: str) -> History:
        """The history of a conversion, oldest entry first."""
        return await self._transport.call("GET", f"/conversions/{segment(conversion_id)}/history", History)

    async def outputs(self, conversion_id: str) -> tuple[OutputLink, ...]:
        """The results of a completed conversion with new presigned URLs."""
        return await outputs_of(self._transport, conversion_id)

    async def cancel(self, conversion_id: str) -> ConversionRecord:
        """Stop a conversion; a running one stops at its worker's next heartbeat."""
        return await self._transport.call("POST", f"/conversions/{segment(conversion_id)}/cancel", ConversionRecord)

    async def retry(self, conversion_id: str, *, password: str | None = None) -> ConversionRecord:
        """Run a conversion again that failed, expired, was cancelled or lost its result.

        One that was made with a password needs it again: the server has deleted it.
        """
        path, body = f"/conversions/{segment(conversion_id)}/retry", without_none(password=password) or None
        return await self._transport.call("POST", path, ConversionRecord, body=body)

    async def delete(self, conversion_id: str) -> None:
        """Delete a finished conversion and its results."""
        await self._transport.send("DELETE", f"{API}/conversions/{segment(conversion_id)}")

    async def file(self, file_id: str) -> FileRecord:
        """The record of an uploaded file."""
        return await self._transport.call("GET", f"/files/{segment(file_id)}", FileRecord)

    async def files(self, *, limit: int = 50, after: str | None = None) -> FilePage:
        """One page of uploaded files, newest first."""
        return await self._transport.call("GET", "/files", FilePage, params=without_none(limit=limit, after=after))

    async def delete_file(self, file_id: str) -> None:
        """Delete an uploaded file; conversions that still wait for it are cancelled."""
        await self._transport.send("DELETE", f"{API}/files/{segment(file_id)}")

    def events(self, *, client_id: str | None = None) -> AsyncGenerator[ConversionRecord, None]:
        """Every change of the caller's conversions (with this `client_id`), live and without end."""
        return follow_all(self._transport, client_id)

    async def formats(self, source: str | None = None, target: str | None = None, *, sleeping: bool = False) -> Formats:
        """Conversions that running workers offer (`sleeping`: also stopped ones), with options as JSON Schema."""
        params = without_none(source=source, target=target, sleeping="true" if sleeping else None)
        return await self._transport.call("GET", "/formats", Formats, params=params)

    async def plan(
        self,
        to: str,
        *,
        source: str | None = None,
        filename: str | None = None,
        file_id: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """How a conversion of a format, a file name or an uploaded file would run; creates nothing."""
        named = without_none(source_format=source, filename=filename, file_id=file_id)
        body = {"target_format": to, "options": dict(options or {}), **named}
        return await self._transport.call("POST", "/plans", Plan, body=body)

    async def workers(self) -> Workers:
        """The workers and the conversions they run."""
        return await self._transport.call("GET", "/workers", Workers)

    async def whoami(self) -> Identity:
        """The owner and the scopes of the API key or access token."""
        return await self._transport.call("GET", "/whoami", Identity)

    async def health(self) -> Health:
        """Health of the server and its dependencies; an unavailable dependency is an answer, not an error."""
        response = await self._transport.send("GET", "/api/health", accept=frozenset({503}))
        return decoded(response, Health)
