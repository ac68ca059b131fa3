"""The blocking client does what the asynchronous one does, under the same names."""

import asyncio
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from converto_client import Admin, AsyncAdmin, AsyncConversion, AsyncConverto, Conversion, Converto, Forbidden, NotFound
from tests.unit.client.fake_service import BASE, KEY, FakeService

ROOT = Path(__file__).resolve().parents[3]


def test_chained_convert_saves_the_result(service: FakeService, deck: Path, tmp_path: Path) -> None:
    with Converto(BASE, KEY, http=service.transport()) as client:
        saved = client.convert(deck, to="pdf").wait().save(tmp_path / "out")

    assert saved[0].read_bytes() == b"%PDF result"


def test_appended_files_are_uploaded_and_joined_in_order(service: FakeService, deck: Path, tmp_path: Path) -> None:
    more = [tmp_path / name for name in ("b.pdf", "a.pdf")]
    for path in more:
        path.write_bytes(path.name.encode())
    with Converto(BASE, KEY, http=service.transport()) as client:
        client.convert(deck, to="pdf", options={"pages": "1"}, append=[more[0], more[1], more[0]])

    (asked,) = service.sent("POST", "/api/v1/conversions")
    body = json.loads(asked.content)
    names = [service.files[number]["filename"] for number in (body["file_id"], *body["append_file_ids"])]
    assert names == ["deck.pptx", "b.pdf", "a.pdf", "b.pdf"]
    assert body["options"] == {"pages": "1"}


def test_events_end_with_the_conversion(service: FakeService, deck: Path) -> None:
    service.events = [service.event("snapshot", "1") + service.event("conversion", "2", status="completed")]
    with Converto(BASE, KEY, http=service.transport()) as client:
        seen = [record.status for record in client.convert(deck, to="pdf").events()]

    assert seen == ["processing", "completed"]


def test_error_in_the_event_loop_reaches_the_caller(service: FakeService) -> None:
    with Converto(BASE, KEY, http=service.transport()) as client, pytest.raises(NotFound):
        client.status("unknown")


def test_dead_letters_are_handled_by_administrators_only(service: FakeService) -> None:
    service.parked = {
        number: {"id": number, "reason": "rejected", "outlook": "waits", "advice": "requeue it"} for number in "abcd"
    }
    with Converto(BASE, KEY, http=service.transport()) as client:
        page = client.admin.parked(reason="rejected", limit=3)
        assert [message.id for message in page.messages] == ["a", "b", "c"]
        assert page.next == "3"
        assert client.admin.parked_message("a").outlook == "waits"
        assert client.admin.requeue_parked("a").id == "a"
        client.admin.drop_parked("b")
        assert client.admin.requeue_many_parked(reason="rejected").settled == 1
        assert client.admin.drop_many_parked().settled == 1
        assert service.parked == {}
        service.is_admin = False
        with pytest.raises(Forbidden, match="administrator"):
            client.admin.parked()


def run_program(code: str, *arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": "libs"},
        cwd=ROOT,
        check=False,
        timeout=20,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_program_ends_although_its_client_is_not_closed() -> None:
    run_program("import converto_client; kept = converto_client.Converto('http://converto.test')")


CALL_OPEN_AT_EXIT = """
import asyncio, threading, httpx2, converto_client

asked = threading.Event()

async def answer(request):
    asked.set()
    await asyncio.Event().wait()

def call():
    try:
        client.health()
    except RuntimeError:
        pass

client = converto_client.Converto("http://converto.test", http=httpx2.MockTransport(answer))
threading.Thread(target=call, daemon=True).start()
assert asked.wait(10)
"""


def test_program_ends_although_a_thread_waits_for_an_answer() -> None:
    run_program(CALL_OPEN_AT_EXIT)


ITERATOR_OPEN_AT_EXIT = """
import asyncio, httpx2, converto_client

async def stream():
    yield b'event: conversion\\ndata: {"id": "a", "file_id": "f", "target_format": "pdf", "status": "pending"}\\n\\n'
    await asyncio.Event().wait()

async def answer(request):
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream())

client = converto_client.Converto("http://converto.test", http=httpx2.MockTransport(answer))
records = client.events()
assert next(records).id == "a"
"""


def test_program_ends_without_complaint_although_its_iterator_is_not_exhausted() -> None:
    run_program(ITERATOR_OPEN_AT_EXIT)


FORK = """
import os, sys, converto_client

client = converto_client.Converto(sys.argv[1])
if sys.argv[2] == "used":
    client.health()
child = os.fork()
if child == 0:
    if sys.argv[3] == "use":
        client.health()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
client.health()
"""


class HealthyServer(BaseHTTPRequestHandler):
    """Keeps connections open, so that a forked process inherits one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "checks": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.callers.append(self.client_address)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The system has no fork")
@pytest.mark.parametrize(("before", "in_child"), [("used", "use"), ("used", "leave"), ("unused", "use")])
def test_client_works_in_a_forked_process_and_in_its_parent(before: str, in_child: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), HealthyServer) as server:
        server.callers = []  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            run_program(FORK, f"http://127.0.0.1:{server.server_port}", before, in_child)
        finally:
            server.shutdown()

    assert len(set(server.callers)) == (1 if in_child == "leave" else 2)  # type: ignore[attr-defined]


ITERATOR_IN_CHILD = """
import os, sys, httpx2, converto_client

async def answer(request):
    known = [{"id": n, "file_id": "f", "filename": "f", "target_format": "pdf", "status": "pending"} for n in "ab"]
    return httpx2.Response(200, json={"conversions": known, "next": None})

client = converto_client.Converto("http://converto.test", http=httpx2.MockTransport(answer))
records = client.conversions()
assert next(records).id == "a"
child = os.fork()
if child == 0:
    try:
        next(records)
    except RuntimeError:
        sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert next(records).id == "b"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The system has no fork")
def test_iterator_stays_with_the_process_that_began_it() -> None:
    run_program(ITERATOR_IN_CHILD)


def test_unused_client_has_no_thread() -> None:
    before = threading.active_count()
    clients = [Converto(BASE, KEY) for _ in range(5)]

    assert threading.active_count() == before
    for client in clients:
        client.close()


async def stream_without_end() -> AsyncIterator[bytes]:
    record = {"id": "a", "file_id": "f", "filename": "f", "target_format": "pdf", "status": "pending"}
    yield f"event: conversion\ndata: {json.dumps(record)}\n\n".encode()
    await asyncio.Event().wait()


@pytest.mark.parametrize("use", [Converto.health, lambda client: list(client.events())], ids=["call", "stream"])
def test_close_ends_what_other_threads_have_open(use: Callable[[Converto], object]) -> None:
    asked = threading.Event()
    errors: list[Exception] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        asked.set()
        if request.url.path.endswith("/health"):
            await asyncio.Event().wait()
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream_without_end())

    def call() -> None:
        try:
            use(client)
        except RuntimeError as error:
            errors.append(error)

    client = Converto(BASE, KEY, http=httpx2.MockTransport(answer))
    threads = [threading.Thread(target=target, daemon=True) for target in (call, client.close)]
    threads[0].start()
    assert asked.wait(10)
    threads[1].start()
    for thread in reversed(threads):
        thread.join(10)

    assert [thread.is_alive() for thread in threads] == [False, False]
    assert ["closed" in str(error) for error in errors] == [True]


def test_closed_client_refuses_calls(service: FakeService) -> None:
    client = Converto(BASE, KEY, http=service.transport())
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.health()


@pytest.mark.parametrize("listing", [Converto.conversions, Converto.events])
def test_unknown_argument_of_a_listing_is_refused_at_the_call(
    service: FakeService, listing: Callable[..., object]
) -> None:
    with Converto(BASE, KEY, http=service.transport()) as client, pytest.raises(TypeError, match="bad"):
        listing(client, bad=1)


def test_client_may_be_closed_twice(service: FakeService) -> None:
    client = Converto(BASE, KEY, http=service.transport())
    client.close()
    client.close()


@pytest.mark.parametrize(
    ("plain", "other"), [(Converto, AsyncConverto), (Conversion, AsyncConversion), (Admin, AsyncAdmin)]
)
def test_both_clients_have_the_same_methods_and_arguments(plain: type, other: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in found if name[0] != "_"}

    renamed = {"aclose": "close"}
    assert methods(plain) == {renamed.get(name, name): arguments for name, arguments in methods(other).items()}
