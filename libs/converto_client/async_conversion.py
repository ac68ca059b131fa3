"""The asynchronous handle of one conversion: wait for it, follow it, download its results."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Self

from converto_client.errors import ConversionFailed, ResultLost, WaitTimeout
from converto_client.events import follow_one
from converto_client.models import ConversionRecord, OutputLink, OutputLinks
from converto_client.retry import seconds_of_retry_after
from converto_client.transfers.download import Download
from converto_client.transfers.names import clean_name
from converto_client.transfers.parallel import for_each
from converto_client.transfers.source import OnBytes
from converto_client.transport import API, Transport, decoded, segment, without_none

LONG_POLL_S = 25
"""Shorter than the 30 s after which common gateways close a silent connection."""
CONCURRENT_DOWNLOADS = 4


def ignore(_: int) -> None:
    """Default progress callback; does nothing."""


class AsyncConversion:
    """One conversion: wait for it, follow it, download its results. `record` is the server's last answer."""

    def __init__(
        self, transport: Transport, record: ConversionRecord, *, forget: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`forget` is awaited once the results are saved, or can no longer come."""
        self._transport = transport
        self._forget = forget
        self.record = record

    @property
    def id(self) -> str:
        """The conversion's id."""
        return self.record.id

    async def refresh(self) -> ConversionRecord:
        """Request the current record."""
        self.record = await self._transport.call("GET", f"/conversions/{self.id}", ConversionRecord)
        return self.record

    async def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it is completed; raises `ConversionFailed`, or `WaitTimeout` after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.record.is_terminal:
                    await self._long_poll()
        except TimeoutError as error:
            raise WaitTimeout(self.record, timeout_s or 0.0) from error
        return await self._ended()

    async def follow(self, on_change: Callable[[ConversionRecord], None], timeout_s: float | None = None) -> Self:
        """Like `wait`, and calls `on_change` with every changed record (in the client's thread)."""
        try:
            async with asyncio.timeout(timeout_s):
                async with aclosing(self.events()) as records:
                    async for record in records:
                        on_change(record)
        except TimeoutError as error:
            raise WaitTimeout(self.record, timeout_s or 0.0) from error
        return await self._ended()

    async def events(self) -> AsyncGenerator[ConversionRecord, None]:
        """Every change, live, until the conversion ends."""
        async with aclosing(follow_one(self._transport, self.id)) as records:
            async for record in records:
                self.record = record
                yield record

    async def outputs(self) -> tuple[OutputLink, ...]:
        """The results with new presigned URLs."""
        return await outputs_of(self._transport, self.id)

    async def save(
        self, target: str | Path = ".", *, overwrite: bool = False, on_bytes: OnBytes = ignore
    ) -> list[Path]:
        """Download all results into a folder, or a single one to the given path; returns the paths in page order.

        An existing file is kept and the new one named `deck (2).pdf`, unless `overwrite` is set. Raises `ResultLost`
        when the server has lost a result; `retry` makes it again.
        """
        try:
            return await self._save(target, overwrite=overwrite, on_bytes=on_bytes)
        except ResultLost:
            await self.forget()
            raise

    async def _save(self, target: str | Path, *, overwrite: bool, on_bytes: OnBytes) -> list[Path]:
        links = await self.outputs()
        wanted = await asyncio.to_thread(_wanted_paths, target, links)
        saved: dict[int, Path] = {}

        async def fetch(index: int) -> None:
            async def fresh_link() -> OutputLink:
                return (await self.outputs())[index]

            download = Download(self._transport, links[index], fresh_link, on_bytes)
            saved[index] = await download.save(wanted[index], mark=f"{self.id}-{index + 1}", overwrite=overwrite)

        await for_each(range(len(links)), fetch, limit=CONCURRENT_DOWNLOADS)
        await self.forget()
        return [saved[index] for index in range(len(links))]

    async def cancel(self) -> ConversionRecord:
        """Stop it; a running one stops at its worker's next heartbeat."""
        self.record = await self._transport.call("POST", f"/conversions/{self.id}/cancel", ConversionRecord)
        return self.record

    async def retry(self, *, password: str | None = None) -> ConversionRecord:
        """Run it again after it failed, expired, was cancelled or lost its result; see `AsyncConverto.retry`."""
        body = without_none(password=password) or None
        self.record = await self._transport.call("POST", f"/conversions/{self.id}/retry", ConversionRecord, body=body)
        return self.record

    async def delete(self) -> None:
        """Delete it and its results."""
        await self._transport.send("DELETE", f"{API}/conversions/{self.id}")

    async def forget(self) -> None:
        """Make the next identical call start a new conversion, although these results were not downloaded."""
        if self._forget is not None:
            await self._forget()

    async def _long_poll(self) -> None:
        headers = {"Prefer": f"wait={LONG_POLL_S}"}
        response = await self._transport.send(
            "GET", f"{API}/conversions/{self.id}", headers=headers, wait_s=LONG_POLL_S
        )
        self.record = decoded(response, ConversionRecord)
        if self.record.is_terminal:
            return
        # A busy server answers at once instead of waiting, and sends Retry-After.
        is_held_back = "Preference-Applied" in response.headers
        asked_s = None if is_held_back else seconds_of_retry_after(response.headers.get("Retry-After"))
        await self._transport.sleep(self._transport.retry.base_s if asked_s is None else asked_s)

    async def _ended(self) -> Self:
        if self.record.status != "completed":
            await self.forget()
            raise ConversionFailed(self.record)
        return self


async def outputs_of(transport: Transport, conversion_id: str) -> tuple[OutputLink, ...]:
    """The results of a completed conversion with new presigned URLs."""
    path = f"/conversions/{segment(conversion_id)}/outputs"
    return (await transport.call("GET", path, OutputLinks)).outputs


def _wanted_paths(target: str | Path, links: tuple[OutputLink, ...]) -> list[Path]:
    """The path of each result: below `target` if it is or must be a folder, else `target` itself."""
    path = Path(target)
    is_folder = path.is_dir() or str(target).endswith(("/", "\\")) or len(links) != 1 or not path.suffix
    if not is_folder:
        return [path]
    return [path / clean_name(link.filename) for link in links]
