"""A TCP proxy that a test puts in front of a server to cut or silence it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes both ways until told otherwise; new connections are refused while it is down."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port_behind = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; after `stop` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and cut those there are."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections in the middle of whatever they do."""
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Swallow nothing, deliver nothing: a black hole."""
        self._may_pass.clear()

    def resume(self) -> None:
        """Deliver again."""
        self._may_pass.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection(self._host, self._port_behind)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, behind_writer}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, behind_writer))
                both.create_task(self._pass_on(behind_reader, writer))
        finally:
            self._writers -= {writer, behind_writer}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                await self._may_pass.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        proxy.resume()
        await proxy.stop()
