"""A TCP proxy that a test puts in front of a server to break the way to it, in one named manner after another.

It works below any protocol. A fault applies to open and new connections until `heal` or its opposite is called.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK_BYTES = 65536
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time left: the peer is sent RST instead of FIN


class Way(Enum):
    """A direction of bytes."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


BOTH_WAYS = (Way.TO_SERVER, Way.TO_CLIENT)


class Proxy:
    """Passes bytes both ways until told otherwise; new connections are refused while it is down."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` clients have to speak TLS; the server behind never does."""
        self._host, self._port_behind, self._tls = host, port, tls
        self._connections: set[_Connection] = set()
        self._is_open = {way: asyncio.Event() for way in Way}
        self._server: asyncio.Server | None = None
        self._latency_s, self._bytes_per_s = 0.0, float("inf")
        self._write_to_lose: tuple[bytes, asyncio.Event] | None = None
        self._reply_bytes_left: int | None = None
        self._is_cut = asyncio.Event()
        self._reply_instead: bytes | None = None
        self.port = 0
        self.passed = {way: 0 for way in Way}
        """Pieces that have arrived at the proxy so far, by direction."""
        self.resume()

    async def start(self) -> None:
        """Listen; after `stop` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def heal(self) -> None:
        """Take back whatever was done."""
        self.resume()
        self.hurry()
        self.pass_on()
        self._write_to_lose = self._reply_bytes_left = None
        if self._server is None:
            await self.start()

    def cut(self) -> None:
        """Reset all connections (RST) in the middle of whatever they do."""
        for connection in list(self._connections):
            connection.reset()

    def busy(self, within_s: float = 1.0) -> int:
        """Return how many connections have carried anything lately."""
        since_s = time.monotonic() - within_s
        return sum(connection.used_s >= since_s for connection in self._connections)

    def silence(self, ways: tuple[Way, ...] = BOTH_WAYS) -> None:
        """Deliver nothing, a black hole: connections open, and nobody answers. Nothing is lost if it ends in time."""
        for way in ways:
            self._is_open[way].clear()

    def resume(self) -> None:
        """Deliver again, also what was held back."""
        for gate in self._is_open.values():
            gate.set()

    def slow(self, *, latency_s: float = 0.0, bytes_per_s: float = float("inf")) -> None:
        """Hold each piece back for a while, in both directions."""
        self._latency_s, self._bytes_per_s = latency_s, bytes_per_s

    def hurry(self) -> None:
        """As fast as it goes again."""
        self.slow()

    def lose_reply_to(self, request: bytes) -> asyncio.Event:
        """Let the next request that holds these bytes through, and reset its connection when the reply comes.

        So a write has happened and its writer never hears of it. The event tells that it was done.
        """
        done = asyncio.Event()
        self._write_to_lose = request, done
        return done

    def cut_after(self, reply_bytes: int) -> asyncio.Event:
        """Reset one connection in the middle of a reply, when that many bytes have come back from now on.

        The event tells that it was done.
        """
        self._reply_bytes_left, self._is_cut = reply_bytes, asyncio.Event()
        return self._is_cut

    def answer_instead(self, reply: bytes) -> None:
        """Answer each HTTP request with this reply in place of the server, and close its connection."""
        self._reply_instead = reply

    def pass_on(self) -> None:
        """Let the server answer again."""
        self._reply_instead = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection(self._host, self._port_behind)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(writer, behind_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, connection, Way.TO_SERVER))
                both.create_task(self._pass_on(behind_reader, connection, Way.TO_CLIENT))
        finally:
            self._connections.discard(connection)

    async def _pass_on(self, reader: asyncio.StreamReader, connection: "_Connection", way: Way) -> None:
        writer = connection.writers[way]
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                self.passed[way] += 1
                connection.used_s = time.monotonic()
                await self._hold_back(len(chunk), way)
                if way is Way.TO_SERVER and self._reply_instead is not None:
                    connection.writers[Way.TO_CLIENT].write(self._reply_instead)
                    await connection.writers[Way.TO_CLIENT].drain()
                    connection.writers[Way.TO_CLIENT].close()
                    break
                chunk = self._spoil(chunk, connection, way)
                writer.write(chunk)
                await writer.drain()
                if connection.is_condemned:
                    connection.reset()
        writer.transport.abort()

    async def _hold_back(self, size_bytes: int, way: Way) -> None:
        wait_s = self._latency_s + size_bytes / self._bytes_per_s
        if wait_s:
            await asyncio.sleep(wait_s)
        await self._is_open[way].wait()

    def _spoil(self, chunk: bytes, connection: "_Connection", way: Way) -> bytes:
        """What of a piece is passed on."""
        if way is Way.TO_SERVER:
            self._remember_write(chunk, connection)
            return chunk
        if connection.on_reply is not None:
            connection.on_reply.set()
            connection.is_condemned = True
            return b""
        return self._shorten(chunk, connection)

    def _remember_write(self, chunk: bytes, connection: "_Connection") -> None:
        if self._write_to_lose is not None and self._write_to_lose[0] in chunk:
            connection.on_reply = self._write_to_lose[1]
            self._write_to_lose = None

    def _shorten(self, chunk: bytes, connection: "_Connection") -> bytes:
        if self._reply_bytes_left is None:
            return chunk
        kept = chunk[: self._reply_bytes_left]
        self._reply_bytes_left -= len(kept)
        if not self._reply_bytes_left:
            self._reply_bytes_left = None
            self._is_cut.set()
            connection.is_condemned = True
        return kept


class _Connection:
    """Both ends of one connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = {Way.TO_SERVER: server, Way.TO_CLIENT: client}
        self.on_reply: asyncio.Event | None = None
        self.is_condemned = False
        self.used_s = time.monotonic()

    def reset(self) -> None:
        """End it by RST at both ends."""
        for writer in self.writers.values():
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Pieces still in the buffers are dropped."""
    connection = writer.get_extra_info("socket")
    if connection is None:  # TLS has closed it already
        return
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()


@asynccontextmanager
async def proxy_to(host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(host, port, tls)
    await proxy.start()
    try:
        yield proxy
    finally:
        proxy.resume()
        await proxy.stop()
