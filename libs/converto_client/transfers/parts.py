"""Uploads a local file in parallel parts, and resumes from the parts that the object store really has.

A store that is restarted may lose an upload with all its parts. The file service then begins a new one. So after a
failure the parts sent before count only if the service lists them, and those that are missing are sent again.
"""

from converto_client.errors import Conflict, RequestInFlight, TransferError, UploadIncomplete
from converto_client.models import PartRequest, PartRequests, StoredPart, StoredParts
from converto_client.transfers.parallel import for_each
from converto_client.transfers.sending import put, retry
from converto_client.transfers.source import OnBytes, Source
from converto_client.transport import Transport

CONCURRENT_PARTS = 4
PARTS_PER_REQUEST = 16
ROUNDS = 5
"""How often the missing parts are sent. One round is usual, two after a loss; more if it is lost again meanwhile."""
_CONTINUE = ". Upload the file again: it continues with the parts that have arrived"


class PartUpload:
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
        self._has_failed = False
        """Whether an attempt of this round has failed: what was sent before it may be lost."""

    async def send(self) -> tuple[StoredPart, ...]:
        """Send what is missing and return all parts, or none if the file has been joined already. May be repeated."""
        try:
            return await self._send_rounds()
        except Conflict as error:
            if isinstance(error, UploadIncomplete | RequestInFlight):
                raise
            # Another client has sent the same parts, or an earlier confirmation has joined them but did not finish.
            self._on_bytes(self._source.size_bytes - self._sent_bytes())
            return ()

    async def _send_rounds(self) -> tuple[StoredPart, ...]:
        for _ in range(ROUNDS):
            self._learn(await self._ask())
            self._has_failed = False
            await for_each(list(self._missing), self._send_part, limit=CONCURRENT_PARTS)
            if not self._has_failed:
                return tuple(self._etags[number] for number in sorted(self._etags))
        raise TransferError(
            f"{self._source.filename} could not be uploaded: the object store lost parts that it had accepted, "
            f"or broke connections, {ROUNDS} times in a row. Check that it keeps running, then upload the file again"
        )

    async def _ask(self) -> StoredParts:
        async def attempt(_: int) -> StoredParts:
            return await self._transport.call("GET", f"/files/{self._file_id}/parts", StoredParts)

        return await retry(self._transport, f"{self._source.filename} could not be uploaded", attempt)

    def _learn(self, stored: StoredParts) -> None:
        """Take over which parts the store has, and correct the progress accordingly."""
        before_bytes = self._sent_bytes()
        self._part_size_bytes = stored.part_size_bytes
        self._etags = {part.part_number: part for part in stored.parts if self._is_whole(part)}
        self._missing = [number for number in range(1, stored.part_count + 1) if number not in self._etags]
        if changed_bytes := self._sent_bytes() - before_bytes:
            self._on_bytes(changed_bytes)

    async def _send_part(self, number: int) -> None:
        async def attempt(count: int) -> None:
            if count > 1:
                self._has_failed = True
                self._requests.clear()  # they may belong to an upload that is lost
            request = await self._request_of(number)
            start, length = self._range_of(number)
            response = await put(
                self._transport, request, self._source, start=start, length=length, on_bytes=self._on_bytes
            )
            etag = response.headers.get("ETag", "")
            self._etags[number] = StoredPart(part_number=number, etag=etag, size_bytes=length)

        what_failed = f"Part {number} of {self._source.filename} could not be uploaded"
        await retry(self._transport, what_failed, attempt, what_next=_CONTINUE)

    async def _request_of(self, number: int) -> PartRequest:
        """URLs are requested in small batches, just before use: presigned all at once, the last would expire."""
        if (known := self._requests.pop(number, None)) is not None:
            return known
        later = [part for part in self._missing if part > number and part not in self._etags]
        body = {"part_numbers": [number, *later[: PARTS_PER_REQUEST - 1]]}
        answer = await self._transport.call("POST", f"/files/{self._file_id}/parts", PartRequests, body=body)
        self._requests |= {part.part_number: part for part in answer.parts}
        return self._requests.pop(number)

    def _sent_bytes(self) -> int:
        return sum(part.size_bytes for part in self._etags.values())

    def _range_of(self, number: int) -> tuple[int, int]:
        start = (number - 1) * self._part_size_bytes
        return start, min(self._part_size_bytes, self._source.size_bytes - start)

    def _is_whole(self, part: StoredPart) -> bool:
        return part.size_bytes == self._range_of(part.part_number)[1]
