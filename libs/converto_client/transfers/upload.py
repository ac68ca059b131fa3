"""Uploads a local file to the object store: one presigned request, or parallel parts, each with retries.

The server says which parts the store already has, so the same code starts an upload and resumes an interrupted one.
"""

from converto_client.errors import Conflict
from converto_client.models import FileWithUpload, StoredPart, Upload
from converto_client.transfers.parts import PartUpload
from converto_client.transfers.sending import put, retry
from converto_client.transfers.source import OnBytes, Source
from converto_client.transport import Transport


def upload_of(
    transport: Transport, file_id: str, source: Source, upload: Upload, on_bytes: OnBytes
) -> "PartUpload | SingleUpload":
    """Return the upload that the server asks for; `send` sends what is missing."""
    if upload.kind == "multipart":
        return PartUpload(transport, file_id, source, on_bytes)
    return SingleUpload(transport, file_id, source, upload, on_bytes)


async def fresh_upload(transport: Transport, file_id: str) -> Upload | None:
    """A new presigned request for a file that waits for its bytes; None when they are already stored."""
    try:
        answer = await transport.call("POST", f"/files/{file_id}/upload", FileWithUpload, body={})
    except Conflict:
        return None
    return answer.upload


class SingleUpload:
    """One presigned request with the whole file."""

    def __init__(self, transport: Transport, file_id: str, source: Source, upload: Upload, on_bytes: OnBytes) -> None:
        self._transport = transport
        self._file_id = file_id
        self._source = source
        self._upload: Upload | None = upload
        self._on_bytes = on_bytes
        self._is_sent = False

    async def send(self) -> tuple[StoredPart, ...]:
        """Send the file once; it has no parts."""
        if not self._is_sent:
            what_next = ". Upload the file again"
            await retry(
                self._transport, f"{self._source.filename} could not be uploaded", self._attempt, what_next=what_next
            )
        self._is_sent = True
        return ()

    async def _attempt(self, number: int) -> None:
        if number > 1:
            self._upload = await fresh_upload(self._transport, self._file_id)
        if self._upload is not None:
            size_bytes = self._source.size_bytes
            await put(self._transport, self._upload, self._source, start=0, length=size_bytes, on_bytes=self._on_bytes)
