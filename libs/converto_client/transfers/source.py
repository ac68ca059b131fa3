"""A local file to upload: its declaration for the server, and its bytes in chunks.

The file is never read into memory as a whole, reads run outside the event loop, and a file that changes during the
upload is detected.
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
"""Reading a file of this size twice takes a fraction of a second; larger files are hashed by the worker only."""

OnBytes = Callable[[int], None]
"""Called with the number of bytes just transferred; negative when a failed attempt is taken back."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One local file, with size and modification time as of `inspect`."""

    path: Path
    size_bytes: int
    modified_ns: int
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """The file name sent to the server."""
        return self.path.name

    def declaration(self) -> dict[str, str | int]:
        """The fields that announce the file to the server."""
        declared: dict[str, str | int] = {"filename": self.filename, "size_bytes": self.size_bytes}
        if known := format_of_name(self.filename):
            declared["content_type"] = known.mime_type
        if self.sha256:
            declared["sha256"] = self.sha256
        return declared

    async def check_unchanged(self) -> None:
        """Raise `SourceUnusable` when the file has changed since `inspect`."""
        now = await asyncio.to_thread(_inspect, self.path)
        if (now.size_bytes, now.modified_ns) != (self.size_bytes, self.modified_ns):
            raise SourceUnusable(f"{self.path} changed during the upload; try again")

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


async def inspect(path: str | Path) -> Source:
    """Read size, modification time and (up to 64 MiB) hash of a local file; raises `SourceUnusable`."""
    source = await asyncio.to_thread(_inspect, Path(path))
    if source.size_bytes > HASHED_UP_TO_BYTES:
        return source
    return msgspec.structs.replace(source, sha256=await asyncio.to_thread(sha256_of, source.path))


def _inspect(path: Path) -> Source:
    try:
        status = path.stat()
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror or 'not found'}") from error
    if not path.is_file():
        raise SourceUnusable(f"{path} is not a file")
    if status.st_size == 0:
        raise SourceUnusable(f"{path} is empty (0 bytes); nothing to convert")
    return Source(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read as a stream; raises `SourceUnusable`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror}") from error
