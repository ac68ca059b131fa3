"""Reads what a program says to its end and keeps the last of it, so that a flood fills neither a pipe nor memory."""

import asyncio
from collections import deque
from collections.abc import Callable

_OUTPUT_BYTES = 64 * 1024


class OutputTail:
    """The last 64 KiB of a stream; the whole stream is read."""

    def __init__(self, on_line: Callable[[str], object] | None = None) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._on_line, self._line = on_line, b""

    @property
    def kept(self) -> bytes:
        """The last bytes."""
        return b"".join(self._chunks)[-_OUTPUT_BYTES:]

    @property
    def text(self) -> str:
        """The last bytes as text."""
        return self.kept.decode(errors="replace")

    async def fill(self, stream: asyncio.StreamReader | None) -> None:
        """Read the stream to its end."""
        while stream is not None and (chunk := await stream.read(_OUTPUT_BYTES)):
            self._keep(chunk)
            self._tell_lines(chunk)
        if self._on_line is not None and self._line:
            self._on_line(self._line.decode(errors="replace"))

    def _keep(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= _OUTPUT_BYTES:
            self._size -= len(self._chunks.popleft())

    def _tell_lines(self, chunk: bytes) -> None:
        if self._on_line is None:
            return
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[-_OUTPUT_BYTES:]
        for line in lines:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
