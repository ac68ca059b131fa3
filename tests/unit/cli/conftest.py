"""The command line against a service in memory behind a real loopback port, as a user runs it."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from converto_cli.__main__ import main
from tests.unit.client.fake_service import KEY, FakeService


class Done(NamedTuple):
    status: int
    out: str
    talk: str

    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the fake service and its answer back, byte by byte."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer; two would wait for each other's acknowledgement
    service: FakeService

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        url = f"http://{self.headers['host']}{self.path}"
        request = httpx2.Request(self.command, url, headers=dict(self.headers), content=self.rfile.read(length))
        status, headers, body = asyncio.run(self._answer(request))
        self.send_response(status)
        for name, value in headers.items():
            if name not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - names that the standard library asks for

    async def _answer(self, request: httpx2.Request) -> tuple[int, httpx2.Headers, bytes]:
        response = await self.service.handle(request)
        return response.status_code, response.headers, await response.aread()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's stderr."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hung up is part of some tests."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeService]:
    """A service on a free loopback port that the environment points to; home and state are this test's own."""
    fake = FakeService()
    handler = type("BoundHandler", (Handler,), {"service": fake})
    server = Server(("127.0.0.1", 0), handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    fake.store = f"{url}/store"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("CONVERTO_HOME", raising=False)
    monkeypatch.setenv("CONVERTO_SERVER_URL", url)
    monkeypatch.setenv("CONVERTO_API_KEY", KEY)
    monkeypatch.setenv("CONVERTO_CLIENT_ATTEMPTS", "1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(service: FakeService, capsys: pytest.CaptureFixture[str]) -> Run:
    def converto(*arguments: str) -> Done:
        status = main(arguments)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return converto


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    path = tmp_path / "deck.pptx"
    path.write_bytes(b"slides" * 1000)
    return path
