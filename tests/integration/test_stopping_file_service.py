"""A deployment stops a file service: streams end, running requests are answered, the process ends (M14)."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from converto_core.catalogue import Offer, Worker
from converto_core.formats import Family
from converto_core.ids import now_ms
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KEY = f"cvt_stop_{secrets.token_urlsafe(24)}"
BOUNDARY = "a-form"


class FileServiceProcess:
    """One real process and plain connections to it."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._log = folder / "service.log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": f"{ROOT}/libs:{ROOT}/services",
            "CONVERTO_PORT": str(self.port),
            "CONVERTO_BOOTSTRAP_API_KEY": KEY,
            "CONVERTO_MONGODB_DATABASE": f"stop_{secrets.token_hex(4)}",
        }
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "file_service", env=self._environment, stdout=log, stderr=log
            )
        await until(self.is_ready)
        await self._offer_text_to_pdf()

    async def _offer_text_to_pdf(self) -> None:
        """Write what a worker would have written: without an offer no conversion is accepted."""
        offer = Offer(
            converter="fake",
            engine="fake",
            engine_version="1",
            family=Family.OFFICE,
            sources=("txt",),
            targets=("pdf",),
            options_schema={},
        )
        now = now_ms()
        worker = Worker(id="w", host="h", pid=1, started_at=now, seen_at=now, slots=1, sandbox="off", offers=(offer,))
        names = ("CONVERTO_MONGODB_URL", "CONVERTO_MONGODB_DATABASE")
        fields = {name.removeprefix("CONVERTO_").lower(): self._environment[name] for name in names}
        stores = MongoStores.connect(Settings(**fields))  # type: ignore[arg-type]
        await stores.workers.put(worker)
        await stores.close()

    async def connect(self, request: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request line and headers; the caller sends the body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [f"{request} HTTP/1.1", "Host: local", f"Authorization: Bearer {KEY}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        return reader, writer

    async def answer(self, request: str) -> bytes:
        try:
            reader, writer = await self.connect(request, "Connection: close")
            with contextlib.closing(writer):
                return await reader.read()
        except OSError:
            return b""

    async def is_ready(self) -> bool:
        return b"200 OK" in await self.answer("GET /api/health/ready")

    async def refuses_connections(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return False
        return True


@pytest.fixture
async def service(servers: Any, tmp_path: Path) -> AsyncIterator[FileServiceProcess]:
    one = FileServiceProcess(servers.environment, tmp_path)
    await one.start()
    yield one
    with contextlib.suppress(ProcessLookupError):
        one.process.kill()
    await one.process.wait()


def form() -> tuple[bytes, bytes]:
    """Return a small form in two halves."""
    fields = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'.encode()
        for name, more, value in (("target_format", "", "pdf"), ("file", '; filename="note.txt"', "a few words"))
    )
    whole = fields + f"--{BOUNDARY}--\r\n".encode()
    return whole[:80], whole[80:]


async def test_stop_ends_streams_and_answers_running_requests(service: FileServiceProcess) -> None:
    stream, stream_writer = await service.connect("GET /api/v1/events", "Accept: text/event-stream")
    await stream.readuntil(b"\r\n\r\n")
    first, rest = form()
    reader, writer = await service.connect(
        "POST /api/v1/conversions",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(first) + len(rest)}",
        "Expect: 100-continue",  # its answer shows that the request has reached the application
    )
    continued = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.write(first)
    await writer.drain()

    service.process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(stream.read(), 10)  # to its end
    await until(service.refuses_connections)
    writer.write(rest)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    status = await asyncio.wait_for(service.process.wait(), 10)
    writer.close()
    stream_writer.close()

    assert b" 100 " in continued
    assert answer.split(b"\r\n")[0] in {b"HTTP/1.1 201 Created", b"HTTP/1.1 202 Accepted"}, answer
    assert status == 0


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """Wait until the condition holds; raise `TimeoutError` after the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)
