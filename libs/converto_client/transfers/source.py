"""A local file that is to be uploaded: what is declared about it, and its bytes in chunks. It knows no network.

The file is never in memory as a whole, every read runs off the event loop, and a file that changes while it is being
read is noticed.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec

from converto_client.errors import SourceUnusable
from converto_core.formats import format_of_name

CHUNK_BYTES = 1024 * 1024
HASHED_UP_TO_BYTES = 64 * 1024 * 1024
"""Reading a file of this size twice costs a fraction of a second; for larger ones the worker's hash has to do."""

OnBytes = Callable[[int], None]
"""Called with the number of bytes that have just gone over the wire."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One local file as it was when we looked at it."""

    path: Path
    size_bytes: int
    modified_ns: int
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """The name the server gets to know."""
        return self.path.name

    def declaration(self) -> dict[str, str | int]:
        """What is said about the file before its bytes are sent."""
        declared: dict[str, str | int] = {"filename": self.filename, "size_bytes": self.size_bytes}
        if known := format_of_name(self.filename):
            declared["content_type"] = known.mime_type
        if self.sha256:
            declared["sha256"] = self.sha256
        return declared

    async def check_unchanged(self) -> None:
        """Raise `SourceUnusable` when the file is no longer the one we looked at."""
        now = await asyncio.to_thread(_look_at, self.path)
        if (now.size_bytes, now.modified_ns) != (self.size_bytes, self.modified_ns):
            raise SourceUnusable(f"{self.path} changed while it was being uploaded; please try again")

    async def chunks(self, start: int, length: int, on_bytes: OnBytes) -> AsyncGenerator[bytes, None]:
        """`length` bytes from `start`, chunk by chunk; raises `SourceUnusable` when the file has become shorter."""
        file = await asyncio.to_thread(self.path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, start)
            left = length
            while left:
                chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
                if not chunk:
                    raise SourceUnusable(f"{self.path} became shorter while it was being uploaded")
                left -= len(chunk)
                yield chunk
                on_bytes(len(chunk))
        finally:
            file.close()


async def look_at(path: str | Path) -> Source:
    """Read size, time and (for files up to 64 MiB) hash of a local file; raises `SourceUnusable`."""
    source = await asyncio.to_thread(_look_at, Path(path))
    if source.size_bytes > HASHED_UP_TO_BYTES:
        return source
    return msgspec.structs.replace(source, sha256=await asyncio.to_thread(sha256_of, source.path))


def _look_at(path: Path) -> Source:
    try:
        status = path.stat()
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror or 'it is not there'}") from error
    if not path.is_file():
        raise SourceUnusable(f"{path} is not a file")
    if status.st_size == 0:
        raise SourceUnusable(f"{path} is empty (0 bytes); there is nothing to convert")
    return Source(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read as a stream; raises `SourceUnusable`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror}") from error
