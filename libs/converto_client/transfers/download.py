"""Downloads results: streamed into a `.part` file, verified, then renamed.

The name of a part file contains the content hash, so a later run resumes only with bytes of the same result.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import httpx2

from converto_client.errors import ClientError, ResultLost, ServerUnreachable, TransferError
from converto_client.models import OutputLink
from converto_client.transfers.names import clean_name, rename_to
from converto_client.transfers.source import CHUNK_BYTES, OnBytes
from converto_client.transport import Transport

FreshLink = Callable[[], Awaitable[OutputLink]]
"""Returns the same output with a new presigned URL; raises `ResultLost` when the server has it no more."""

_OK, _PARTIAL, _FORBIDDEN, _MISSING, _RANGE_REFUSED = 200, 206, 403, 404, 416
_TRANSIENT_STATUSES = frozenset({_FORBIDDEN, _MISSING, _RANGE_REFUSED, 408, 429, 500, 502, 503, 504})


class _Broken(ClientError):
    """This attempt did not deliver all bytes; the next one resumes where it ended."""


class Download:
    """The download of one result."""

    def __init__(self, transport: Transport, link: OutputLink, fresh_link: FreshLink, on_bytes: OnBytes) -> None:
        """`fresh_link` is called whenever the presigned URL is refused or delivers wrong bytes."""
        self._transport = transport
        self._link = link
        self._fresh_link = fresh_link
        self._on_bytes = on_bytes
        self._digest = hashlib.sha256()
        self._have_bytes = 0

    async def save(self, wanted: Path, *, mark: str, overwrite: bool) -> Path:
        """Download, verify and rename the result; returns its path.

        Raises `TransferError`, `ResultLost` or `OSError` (full disk). `mark` identifies the result in the name of the
        part file, so that a later run finds it.
        """
        await asyncio.to_thread(wanted.parent.mkdir, parents=True, exist_ok=True)
        part = wanted.with_name(f".converto-{mark}-{(self._link.sha256 or '')[:16]}.part")
        failures, most_bytes, paused_s = 0, 0, 0.0
        while True:
            try:
                await self._fetch_rest(part)
                break
            except ResultLost:
                await asyncio.to_thread(part.unlink, missing_ok=True)
                raise
            except (_Broken, ServerUnreachable) as error:
                if self._have_bytes > most_bytes:
                    failures, most_bytes, paused_s = 0, self._have_bytes, 0.0
                failures += 1
                is_outage = isinstance(error, ServerUnreachable)
                if not self._transport.retry.may_send_again(failures, paused_s=paused_s if is_outage else None):
                    raise TransferError(f"{wanted.name} could not be downloaded: {error}") from error
                pause_s = self._transport.retry.pause_s(failures, None)
                paused_s += pause_s
                await self._transport.sleep(pause_s)
        return await asyncio.to_thread(rename_to, part, wanted, overwrite=overwrite)

    async def _fetch_rest(self, part: Path) -> None:
        """Append what the part file lacks, then verify all of it; raises `_Broken` to ask for a retry."""
        await asyncio.to_thread(self._load_part, part)
        if self._have_bytes < self._link.size_bytes:
            await self._stream(part)
        if self._have_bytes < self._link.size_bytes:
            raise _Broken("the connection ended before the last byte")
        if self._link.sha256 not in (None, self._digest.hexdigest()):
            await asyncio.to_thread(part.unlink)
            self._link = await self._fresh_link()  # the server looks at what it has, and says if it is damaged
            raise _Broken("the checksum differs from the recorded one")

    def _load_part(self, part: Path) -> None:
        """Hash what an earlier attempt left; without a recorded hash it cannot be trusted and is deleted."""
        if self._link.sha256 is None or not part.exists() or part.stat().st_size > self._link.size_bytes:
            part.unlink(missing_ok=True)
        self._reset()
        part.touch()
        with part.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                self._count(chunk)

    async def _stream(self, part: Path) -> None:
        # With content encoding, lengths and ranges would not refer to the recorded bytes.
        headers = {"Accept-Encoding": "identity"}
        if self._have_bytes:
            headers["Range"] = f"bytes={self._have_bytes}-"
        async with self._transport.store_stream(self._link.url, headers=headers) as response:
            await self._check(response, part)
            mode = "ab" if response.status_code == _PARTIAL else "wb"
            if mode == "wb":
                self._reset()
            file = await asyncio.to_thread(part.open, mode)
            try:
                await self._copy(response, file)
            finally:
                await asyncio.to_thread(file.close)

    async def _copy(self, response: httpx2.Response, file: IO[Any]) -> None:
        async for chunk in response.aiter_raw():
            await asyncio.to_thread(file.write, chunk)
            self._count(chunk)
            if self._have_bytes > self._link.size_bytes:
                raise TransferError(f"{clean_name(self._link.filename)} is longer than its recorded size")

    async def _check(self, response: httpx2.Response, part: Path) -> None:
        if response.status_code in (_OK, _PARTIAL):
            return
        if response.status_code not in _TRANSIENT_STATUSES:
            raise TransferError(
                f"The object store answered {response.status_code} for {clean_name(self._link.filename)}"
            )
        if response.status_code in (_FORBIDDEN, _MISSING):
            self._link = await self._fresh_link()
        if response.status_code == _RANGE_REFUSED:
            await asyncio.to_thread(part.unlink)
        raise _Broken(f"the object store answered {response.status_code}")

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._have_bytes += len(chunk)
        self._on_bytes(len(chunk))

    def _reset(self) -> None:
        self._on_bytes(-self._have_bytes)
        self._digest, self._have_bytes = hashlib.sha256(), 0
