"""Reads the output of a program to its end but keeps only the tail, so that no amount of output exhausts memory."""

import asyncio
from collections import deque
from collections.abc import Callable

_TAIL_BYTES = 64 * 1024


class OutputTail:
    """The last 64 KiB of a stream. The whole stream is read, so the program never blocks on a full pipe."""

    def __init__(self, on_line: Callable[[str], object] | None = None) -> None:
        """`on_line` is called with every complete line."""
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._on_line, self._line = on_line, b""

    @property
    def kept(self) -> bytes:
        """The last bytes."""
        return b"".join(self._chunks)[-_TAIL_BYTES:]

    @property
    def text(self) -> str:
        """The last bytes as text."""
        return self.kept.decode(errors="replace")

    async def fill(self, stream: asyncio.StreamReader | None) -> None:
        """Read the stream to its end."""
        while stream is not None and (chunk := await stream.read(_TAIL_BYTES)):
            self._keep(chunk)
            self._emit_lines(chunk)
        if self._on_line is not None and self._line:
            self._on_line(self._line.decode(errors="replace"))

    def _keep(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= _TAIL_BYTES:
            self._size -= len(self._chunks.popleft())

    def _emit_lines(self, chunk: bytes) -> None:
        if self._on_line is None:
            return
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[-_TAIL_BYTES:]
        for line in lines:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
