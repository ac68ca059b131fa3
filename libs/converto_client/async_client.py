"""The asynchronous client: every call of the API under a plain name, and one handle per conversion.

It speaks HTTP only. `converto_client.client` offers the same names to code without an event loop.
"""

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
from converto_client.transfers.source import OnBytes, look_at
from converto_client.transfers.submission import Submission
from converto_client.transport import API, Sleep, Transport, decoded, segment, without_none

PAGE_LENGTH = 200


class AsyncConverto:
    """A client of one file service. Close it with `aclose()` or use it with `async with`."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        resume: ResumeStore | None = None,
        http: httpx2.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """With a `ResumeStore` the same call goes on after a crash; without, each call begins something new.

        `timeout_s` is the longest silence of the server in seconds; `http` and `sleep` are for tests.
        """
        self._transport = Transport(url, api_key, timeout_s=timeout_s, retry=retry, http=http, sleep=sleep)
        self._resume = resume

    @property
    def admin(self) -> AsyncAdmin:
        """What only an administrator's key may ask."""
        return AsyncAdmin(self._transport)

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
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
        on_bytes: OnBytes = ignore,
    ) -> AsyncConversion:
        """Upload a local file and have it converted; returns as soon as the server has confirmed the upload.

        Files of `append` are uploaded too and joined to the end of the first, in order (PDF to PDF). With `fresh` the
        programs run even when the same was made before.
        """
        if append:
            uploaded = [await self.upload(path, client_id=client_id, on_bytes=on_bytes) for path in (source, *append)]
            first, *more = [file.id for file in uploaded]
            return await self.convert_uploaded(
                first, to, options=options, client_id=client_id, lane=lane, fresh=fresh, append_file_ids=more
            )
        local = await look_at(source)
        request = without_none(
            target_format=to,
            options=dict(options or {}) or None,
            client_id=client_id,
            lane=lane,
            fresh=fresh or None,
        )
        body = {**request, "file": without_none(**local.declaration(), client_id=client_id)}
        work = Submission(self._transport, self._resume, local, body, on_bytes)
        record = await work.conversion()
        return AsyncConversion(self._transport, record, forget=work.forget)

    async def upload(
        self, source: str | Path, *, client_id: str | None = None, on_bytes: OnBytes = ignore
    ) -> FileRecord:
        """Upload a local file without converting it."""
        local = await look_at(source)
        body = without_none(**local.declaration(), client_id=client_id)
        work = Submission(self._transport, self._resume, local, body, on_bytes)
        return await work.file()

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
    ) -> AsyncConversion:
        """Have a file converted that is at the server already, joined with others that are (`append_file_ids`)."""
        body = without_none(
            file_id=file_id,
            append_file_ids=list(append_file_ids) or None,
            target_format=to,
            options=dict(options or {}) or None,
            client_id=client_id,
            lane=lane,
            fresh=fresh or None,
        )
        created = await self._transport.call("POST", "/conversions", Created, body=body)
        return AsyncConversion(self._transport, created.conversion)

    async def conversion(self, conversion_id: str) -> AsyncConversion:
        """A handle on a conversion that exists."""
        return AsyncConversion(self._transport, await self.status(conversion_id))

    async def status(self, conversion_id: str) -> ConversionRecord:
        """How a conversion stands."""
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
        """One page of conversions, newest first; `after` is the `next` of the page before."""
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
        """All conversions, newest first, page after page as they are needed."""
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
        """What happened to a conversion, oldest first."""
        return await self._transport.call("GET", f"/conversions/{segment(conversion_id)}/history", History)

    async def outputs(self, conversion_id: str) -> tuple[OutputLink, ...]:
        """The results of a completed conversion with fresh presigned URLs."""
        return await outputs_of(self._transport, conversion_id)

    async def cancel(self, conversion_id: str) -> ConversionRecord:
        """Stop a conversion; a running one stops at its worker's next heartbeat."""
        return await self._transport.call("POST", f"/conversions/{segment(conversion_id)}/cancel", ConversionRecord)

    async def retry(self, conversion_id: str) -> ConversionRecord:
        """Run a failed, cancelled or expired conversion again."""
        return await self._transport.call("POST", f"/conversions/{segment(conversion_id)}/retry", ConversionRecord)

    async def delete(self, conversion_id: str) -> None:
        """Remove a finished conversion and its results."""
        await self._transport.send("DELETE", f"{API}/conversions/{segment(conversion_id)}")

    async def file(self, file_id: str) -> FileRecord:
        """The record of an uploaded file."""
        return await self._transport.call("GET", f"/files/{segment(file_id)}", FileRecord)

    async def files(self, *, limit: int = 50, after: str | None = None) -> FilePage:
        """One page of uploaded files, newest first."""
        return await self._transport.call("GET", "/files", FilePage, params=without_none(limit=limit, after=after))

    async def delete_file(self, file_id: str) -> None:
        """Remove an uploaded file; conversions that still wait for it are cancelled."""
        await self._transport.send("DELETE", f"{API}/files/{segment(file_id)}")

    def events(self, *, client_id: str | None = None) -> AsyncGenerator[ConversionRecord, None]:
        """Every change of all my conversions (of this label), live and without end."""
        return follow_all(self._transport, client_id)

    async def formats(self, source: str | None = None, target: str | None = None, *, sleeping: bool = False) -> Formats:
        """What the running workers convert (with `sleeping` also what others will), options as JSON Schema."""
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
        """How a conversion would go, without making one: of a format, a file name or an uploaded file."""
        named = without_none(source_format=source, filename=filename, file_id=file_id)
        body = {"target_format": to, "options": dict(options or {}), **named}
        return await self._transport.call("POST", "/plans", Plan, body=body)

    async def workers(self) -> Workers:
        """Which workers there are and what they run."""
        return await self._transport.call("GET", "/workers", Workers)

    async def whoami(self) -> Identity:
        """Whose key this is."""
        return await self._transport.call("GET", "/whoami", Identity)

    async def health(self) -> Health:
        """How the server and each of its dependencies are; a dependency that is away is an answer, not an error."""
        response = await self._transport.send("GET", "/api/health", accept=frozenset({503}))
        return decoded(response, Health)
