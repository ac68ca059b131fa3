"""What the recorder writes of calls, answers, broken connections, streams and bytes; a torn journal is read back."""

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from converto_core.conversion.record import Status
from tests.chaos.history.call import Call, Outcome, ToldObject
from tests.chaos.history.history import read_history
from tests.chaos.history.journal import BrokenJournal, Journal, read_lines
from tests.chaos.history.made import FILE, ONE
from tests.chaos.history.recorder import CLIENT, RecordingTransport

API = "http://api/api/v1"
BODY = {"id": ONE, "status": "processing", "percent": 5.0, "target_format": "pdf", "errors": [{}], "outputs": []}
OUTPUT = f"t/o/out/{ONE}/1/result.json"

Handler = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


class Broken(httpx2.AsyncByteStream):
    """An answer that breaks after its first bytes."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"id"'
        raise httpx2.ReadError("reset")


async def recorded(path: Path, handler: Handler, method: str, url: str, **rest: object) -> Call:
    """Send one request and return what the journal says about it; errors of the connection are swallowed."""
    journal = Journal(path)
    transport = RecordingTransport(httpx2.MockTransport(handler), journal, client="one")
    async with httpx2.AsyncClient(transport=transport) as http:
        with contextlib.suppress(httpx2.TransportError):
            await http.request(method, url, **rest)  # type: ignore[arg-type]
    journal.close()
    return read_history(path).calls[-1]


def answering(status: int, **rest: object) -> Handler:
    return lambda request: httpx2.Response(status, **rest)  # type: ignore[arg-type]


def failing(error: Exception) -> Handler:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    return handler


class TestCalls:
    async def test_read_is_recorded_with_its_state(self, path: Path) -> None:
        call = await recorded(path, answering(200, json=BODY), "GET", f"{API}/conversions/{ONE}")

        assert (call.asked.client, call.asked.path, call.asked.id) == ("one", "/conversions/{id}", ONE)
        assert (call.is_done, call.ended.told[0].status, call.ended.told[0].error_count) == (True, "processing", 1)
        assert call.start_s <= call.end_s

    async def test_creation_is_recorded_with_key_and_label(self, path: Path) -> None:
        made = {"conversion": BODY, "file": {"id": FILE}}
        headers = {"Idempotency-Key": "k", "Authorization": "Bearer secret"}
        wanted = {"client_id": "a", "target_format": "pdf", "file": {}}
        call = await recorded(
            path, answering(201, json=made), "POST", f"{API}/conversions", json=wanted, headers=headers
        )

        assert (call.asked.key, call.asked.wanted) == ("k", {"client_id": "a", "target_format": "pdf"})
        assert (call.ended.told[0].id, call.ended.file_id) == (ONE, FILE)
        assert b"secret" not in path.read_bytes()

    async def test_list_is_recorded_with_query_and_next(self, path: Path) -> None:
        answer = answering(200, json={"conversions": [BODY, BODY], "next": ONE})
        call = await recorded(path, answer, "GET", f"{API}/conversions?limit=2&status=pending,processing")

        assert call.asked.wanted == {"limit": "2", "status": "pending,processing"}
        assert (len(call.ended.told), call.ended.next) == (2, ONE)

    async def test_problem_is_recorded_with_its_code(self, path: Path) -> None:
        answer = answering(409, json={"code": "conflict"}, headers={"Idempotent-Replayed": "true"})
        call = await recorded(path, answer, "POST", f"{API}/conversions/{ONE}/retry")

        assert (call.ended.status, call.ended.code, call.ended.is_replayed) == (409, "conflict", True)
        assert not call.may_have_done

    async def test_request_names_its_client(self, path: Path) -> None:
        call = await recorded(path, answering(204), "DELETE", f"{API}/files/{FILE}", extensions={CLIENT: "two"})

        assert (call.asked.client, call.asked.path) == ("two", "/files/{id}")

    async def test_health_is_left_out(self, path: Path) -> None:
        await recorded(path, answering(204), "DELETE", f"{API}/files/{FILE}")
        await recorded(path, answering(200, json={}), "GET", "http://api/api/health")

        assert len(read_history(path).calls) == 1


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (failing(httpx2.ConnectError("refused")), Outcome.NOT_SENT),
        (failing(httpx2.PoolTimeout("busy")), Outcome.NOT_SENT),
        (failing(httpx2.ReadTimeout("slow")), Outcome.UNKNOWN),
        (failing(httpx2.WriteError("reset")), Outcome.UNKNOWN),
        (answering(201, stream=Broken()), Outcome.UNKNOWN),
    ],
)
async def test_broken_call_is_recorded(path: Path, handler: Handler, outcome: Outcome) -> None:
    call = await recorded(path, handler, "POST", f"{API}/conversions/{ONE}/retry")

    assert (call.ended.outcome, call.may_have_done) == (outcome, outcome is Outcome.UNKNOWN)


class TestBytes:
    async def test_upload_is_recorded_with_its_hash(self, path: Path) -> None:
        url = f"http://s3/bucket/t/o/in/{FILE}/1/source?X-Amz-Signature=secret"
        call = await recorded(path, answering(200), "PUT", url, content=b"bytes")

        assert (call.asked.object_key, call.asked.sha256) == (f"t/o/in/{FILE}/1/source", _sha256(b"bytes"))
        assert b"secret" not in path.read_bytes()

    async def test_download_is_recorded_with_its_hash(self, path: Path) -> None:
        call = await recorded(path, answering(200, content=b"bytes"), "GET", f"http://s3/bucket/{OUTPUT}?a=b")

        assert (call.asked.object_key, call.ended.sha256) == (OUTPUT, _sha256(b"bytes"))

    async def test_outputs_are_recorded_by_object_key(self, path: Path) -> None:
        outputs = [{"url": f"http://s3/bucket/{OUTPUT}?X-Amz-Signature=x", "sha256": "h"}]
        call = await recorded(
            path, answering(200, json={"outputs": outputs}), "GET", f"{API}/conversions/{ONE}/outputs"
        )

        assert call.ended.objects == (ToldObject(OUTPUT, "h"),)


async def test_each_event_of_a_stream_is_recorded(path: Path) -> None:
    events = b"retry: 2000\n\n" + b"".join(
        b"event: conversion\ndata: %s\n\n" % json.dumps({**BODY, "status": status}).encode()
        for status in ("processing", "completed")
    )
    answer = answering(200, content=events, headers={"content-type": "text/event-stream; charset=utf-8"})
    await recorded(path, answer, "GET", f"{API}/conversions/{ONE}/events")

    (stream,) = read_history(path).streams[ONE]
    assert [read.told.status for read in stream] == ["processing", "completed"]


class TestJournal:
    def test_open_call_is_unknown(self, path: Path) -> None:
        Journal(path).begin(client="one", method="POST", path="/conversions")

        (call,) = read_history(path).calls
        assert (call.ended.outcome, call.may_have_done) == (Outcome.UNKNOWN, True)

    def test_torn_last_line_is_dropped(self, path: Path) -> None:
        Journal(path).publish(ONE, Status.COMPLETED, 1)
        path.write_bytes(path.read_bytes() + b'{"type":"publ')

        assert len(read_lines(path)) == 1
        Journal(path).publish(ONE, Status.COMPLETED, 2)
        assert len(read_lines(path)) == 2

    def test_torn_line_in_the_middle_is_an_error(self, path: Path) -> None:
        path.write_bytes(b'{"type":"publ\n{}\n')

        with pytest.raises(BrokenJournal, match="line 1"):
            read_lines(path)

    def test_continued_history_goes_on_counting(self, path: Path) -> None:
        first = Journal(path).begin(client="one", method="GET", path="/files")

        assert Journal(path).begin(client="one", method="GET", path="/files") == first + 1


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
