"""Uploads a local file to the object store: one presigned request, or parallel parts, each with retries.

The server says which parts the store already has, so the same code starts an upload and resumes an interrupted one.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import httpx2

from converto_client.errors import ClientError, Conflict, ServerUnreachable, TransferError
from converto_client.models import FileWithUpload, PartRequest, PartRequests, StoredPart, StoredParts, Upload
from converto_client.transfers.parallel import for_each
from converto_client.transfers.source import OnBytes, Source
from converto_client.transport import Transport

CONCURRENT_PARTS = 4
PARTS_PER_REQUEST = 16
_FORBIDDEN = 403
_TRANSIENT_STATUSES = frozenset({403, 408, 429, 500, 502, 503, 504})
"""403 is included because an expired presigned URL answers it; the next attempt gets a new URL."""


class _TransientRefusal(ClientError):
    """The store refused the bytes, but a retry may succeed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"The object store answered {status}{reason}")


async def upload_bytes(
    transport: Transport, file_id: str, source: Source, upload: Upload, on_bytes: OnBytes
) -> tuple[StoredPart, ...]:
    """Upload the file; returns the parts of a multipart upload, empty for a single request."""
    if upload.kind == "multipart":
        parts = await _PartUpload(transport, file_id, source, on_bytes).run()
    else:
        parts = ()
        await _upload_single(transport, file_id, source, upload, on_bytes)
    await source.check_unchanged()
    return parts


async def fresh_upload(transport: Transport, file_id: str) -> Upload | None:
    """A new presigned request for a file that waits for its bytes; None when they are already stored."""
    try:
        answer = await transport.call("POST", f"/files/{file_id}/upload", FileWithUpload, body={})
    except Conflict:
        return None
    return answer.upload


async def _upload_single(transport: Transport, file_id: str, source: Source, upload: Upload, on_bytes: OnBytes) -> None:
    request: Upload | None = upload

    async def attempt(number: int) -> None:
        nonlocal request
        if number > 1:
            request = await fresh_upload(transport, file_id)
        if request is not None:
            await _put(transport, request, source, start=0, length=source.size_bytes, on_bytes=on_bytes)

    await _retry(transport, f"{source.filename} could not be uploaded", attempt)


class _PartUpload:
    """One multipart upload: its missing parts, their URLs and their ETags."""

    def __init__(self, transport: Transport, file_id: str, source: Source, on_bytes: OnBytes) -> None:
        self._transport = transport
        self._file_id = file_id
        self._source = source
        self._on_bytes = on_bytes
        self._etags: dict[int, StoredPart] = {}
        self._requests: dict[int, PartRequest] = {}
        self._missing: list[int] = []
        self._part_size_bytes = 0

    async def run(self) -> tuple[StoredPart, ...]:
        stored = await self._transport.call("GET", f"/files/{self._file_id}/parts", StoredParts)
        self._part_size_bytes = stored.part_size_bytes
        self._etags = {part.part_number: part for part in stored.parts if self._is_whole(part)}
        for part in self._etags.values():
            self._on_bytes(part.size_bytes)
        self._missing = [number for number in range(1, stored.part_count + 1) if number not in self._etags]
        await for_each(list(self._missing), self._send_part, limit=CONCURRENT_PARTS)
        return tuple(self._etags[number] for number in sorted(self._etags))

    async def _send_part(self, number: int) -> None:
        async def attempt(count: int) -> None:
            request = await self._request_of(number, fresh=count > 1)
            start, length = self._range_of(number)
            response = await _put(
                self._transport, request, self._source, start=start, length=length, on_bytes=self._on_bytes
            )
            etag = response.headers.get("ETag", "")
            self._etags[number] = StoredPart(part_number=number, etag=etag, size_bytes=length)

        await _retry(self._transport, f"Part {number} of {self._source.filename} could not be uploaded", attempt)

    async def _request_of(self, number: int, *, fresh: bool) -> PartRequest:
        """URLs are requested in small batches, just before use: presigned all at once, the last would expire."""
        known = self._requests.pop(number, None)
        if known is not None and not fresh:
            return known
        later = [] if fresh else [part for part in self._missing if part > number][: PARTS_PER_REQUEST - 1]
        body = {"part_numbers": [number, *later]}
        answer = await self._transport.call("POST", f"/files/{self._file_id}/parts", PartRequests, body=body)
        self._requests |= {part.part_number: part for part in answer.parts}
        return self._requests.pop(number)

    def _range_of(self, number: int) -> tuple[int, int]:
        start = (number - 1) * self._part_size_bytes
        return start, min(self._part_size_bytes, self._source.size_bytes - start)

    def _is_whole(self, part: StoredPart) -> bool:
        return part.size_bytes == self._range_of(part.part_number)[1]


async def _retry(transport: Transport, what_failed: str, attempt: Callable[[int], Awaitable[None]]) -> None:
    """Call `attempt` with 1, 2, 3 … until it succeeds, with growing pauses; raises `TransferError` in the end."""
    number = 0
    while True:
        number += 1
        try:
            return await attempt(number)
        except (_TransientRefusal, ServerUnreachable) as error:
            if number >= transport.retry.attempts:
                raise TransferError(f"{what_failed}: {error}") from error
            await transport.sleep(transport.retry.pause_s(number, None))


async def _put(
    transport: Transport, request: Upload | PartRequest, source: Source, *, start: int, length: int, on_bytes: OnBytes
) -> httpx2.Response:
    """Send one range of the file once; a failed attempt is subtracted from the progress."""
    counted = 0

    def count(sent: int) -> None:
        nonlocal counted
        counted += sent
        on_bytes(sent)

    # The signature covers the exact length, and httpx2 sends none for a streamed body.
    headers = {**httpx2.Headers(request.headers), "content-length": str(length)}
    try:
        async with aclosing(source.chunks(start, length, count)) as content:
            response = await transport.store_request(request.method, request.url, headers=headers, content=content)
        _check(response, source.filename)
    except ClientError:
        on_bytes(-counted)
        raise
    return response


def _check(response: httpx2.Response, filename: str) -> None:
    if response.is_success:
        return
    code = re.search(r"<Code>(\w{1,64})</Code>", response.text)
    reason = f" ({code[1]})" if code else ""
    if response.status_code in _TRANSIENT_STATUSES:
        raise _TransientRefusal(response.status_code, reason)
    raise TransferError(f"The object store refused {filename}: it answered {response.status_code}{reason}")
