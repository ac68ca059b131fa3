"""A network namespace for containers, and relays between its ports and those of the machine."""

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CHUNK_BYTES = 65536
LOOPBACK = "127.0.0.1"

_libc = ctypes.CDLL(None, use_errno=True)
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Network:
    """An empty namespace with a loopback device: containers reach each other, and outside only what is relayed.

    A socket belongs to the namespace in which it was created, so one process can serve both sides.
    """

    def __init__(self) -> None:
        self._machine = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._inside = _new_namespace()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        os.close(self._inside)
        os.close(self._machine)

    @property
    def path(self) -> str:
        """The namespace's file, for nsenter."""
        return f"/proc/{os.getpid()}/fd/{self._inside}"

    def reach_out(self, port: int, host: str, host_port: int) -> None:
        """Let containers reach a server of the machine at this port of their loopback address."""
        with self._entered():
            listening = socket.create_server((LOOPBACK, port))
        self._serve(listening, lambda: asyncio.open_connection(host, host_port))

    def publish(self, port: int) -> int:
        """Let the machine reach this port of the containers; return the machine's port."""
        listening = socket.create_server((LOOPBACK, 0))
        self._serve(listening, lambda: self._connect_inside(port))
        return int(listening.getsockname()[1])

    async def _connect_inside(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with self._entered():
            connection = socket.socket()
        connection.setblocking(False)
        try:
            await self._loop.sock_connect(connection, (LOOPBACK, port))
        except OSError:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection)

    def _serve(self, listening: socket.socket, connect: Connect) -> None:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                behind_reader, behind_writer = await connect()
            except OSError:
                writer.transport.abort()
                return
            both = {writer, behind_writer}
            self._writers |= both
            await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))
            self._writers -= both

        async def start() -> None:
            self._servers.append(await asyncio.start_server(relay, sock=listening))

        asyncio.run_coroutine_threadsafe(start(), self._loop).result()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        relays = asyncio.all_tasks() - {asyncio.current_task()}
        for task in relays:
            task.cancel()  # one that is still connecting has no writer yet
        await asyncio.gather(*relays, return_exceptions=True)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Create sockets inside the namespace; affects this thread only, which must not wait here."""
        _set_namespace(self._inside)
        try:
            yield
        finally:
            _set_namespace(self._machine)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def _new_namespace() -> int:
    """Open a file of a new network namespace with its loopback device up; it lives until the file is closed."""
    opened: list[int] = []

    def create() -> None:
        if _libc.unshare(CLONE_NEWNET) != 0:
            return
        opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        with socket.socket() as any_socket:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))

    thread = threading.Thread(target=create)
    thread.start()
    thread.join()
    if not opened:
        raise PermissionError("this user may not create a network namespace")
    return opened[0]


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
