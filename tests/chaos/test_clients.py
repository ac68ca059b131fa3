"""What a client notices: wrong bytes, missing objects, lost results, progress that goes back. A fake answers."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.chaos.clients.connection import CLIENT_HEADER, Api, Connection, Traffic
from tests.chaos.clients.download import Download, Downloaded
from tests.chaos.clients.progress import Progress
from tests.chaos.report.entries import Noted
from tests.chaos.report.journal import RunJournal
from tests.chaos.sources import Source, alike, result_of, source

SOURCE = Source(label="one", kind="ok", content=b"chaos source\nkind=ok\n")
RIGHT = result_of(SOURCE.content)
Answer = Callable[[httpx2.Request], httpx2.Response]


class FakeService:
    """Answers lists of outputs and downloads; counts both."""

    def __init__(self, *objects: httpx2.Response, sha256: str = hashlib.sha256(RIGHT).hexdigest()) -> None:
        self._objects, self._sha256 = list(objects), sha256
        self.listed, self.clients = 0, set[str]()
        self.list_status = 200

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "store":
            return self._objects.pop(0)
        self.listed += 1
        self.clients.add(request.headers[CLIENT_HEADER])
        if self.list_status != 200:
            return httpx2.Response(self.list_status, json={"code": "result_lost"})
        return httpx2.Response(200, json={"outputs": [{"url": "http://store/key", "sha256": self._sha256}]})


def connected(folder: Path, answer: Answer) -> Connection:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    api = Api(["http://api"], "key")
    return Connection(http, api, SOURCE.label, journal=RunJournal(folder / "run.jsonl"), traffic=Traffic())


def false_answers(folder: Path) -> list[str]:
    lines = RunJournal(folder / "run.jsonl").read()
    return [line.detail for line in lines if isinstance(line, Noted) and line.what == "false answer"]


async def test_right_bytes_are_whole(tmp_path: Path) -> None:
    service = FakeService(httpx2.Response(503), httpx2.Response(200, content=RIGHT))
    connection = connected(tmp_path, service.answer)

    assert await Download(connection, SOURCE, "c1").run() is Downloaded.WHOLE
    assert false_answers(tmp_path) == []
    assert service.clients == {SOURCE.label}


@pytest.mark.parametrize(
    ("got", "sha256", "why"),
    [
        (httpx2.Response(200, content=b"x" * len(RIGHT)), None, "another sha256"),
        (httpx2.Response(404), None, "an object that answers 404"),
        (httpx2.Response(200, content=b"x"), hashlib.sha256(b"x").hexdigest(), "another result"),
    ],
)
async def test_wrong_bytes_are_a_false_answer(
    tmp_path: Path, got: httpx2.Response, sha256: str | None, why: str
) -> None:
    service = FakeService(got, sha256=sha256 or hashlib.sha256(RIGHT).hexdigest())

    assert await Download(connected(tmp_path, service.answer), SOURCE, "c1").run() is Downloaded.WRONG
    assert why in false_answers(tmp_path)[0]


async def test_attack_after_the_url_is_no_false_answer(tmp_path: Path) -> None:
    service = FakeService(httpx2.Response(404), httpx2.Response(200, content=RIGHT))
    connection = connected(tmp_path, service.answer)
    connection.traffic.attacked_s["c1"] = float("inf")

    assert await Download(connection, SOURCE, "c1").run() is Downloaded.WHOLE
    assert (service.listed, false_answers(tmp_path)) == (2, [])


async def test_attack_before_the_url_must_be_told(tmp_path: Path) -> None:
    connection = connected(tmp_path, FakeService(httpx2.Response(404)).answer)
    connection.traffic.attacked_s["c1"] = 0.001

    assert await Download(connection, SOURCE, "c1").run() is Downloaded.WRONG


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_result_that_is_told_to_be_lost_is_no_fault(tmp_path: Path, status: int) -> None:
    service = FakeService()
    service.list_status = status

    assert await Download(connected(tmp_path, service.answer), SOURCE, "c1").run() is Downloaded.LOST
    assert false_answers(tmp_path) == []


def test_progress_that_goes_back_is_a_false_answer(tmp_path: Path) -> None:
    progress = Progress(connected(tmp_path, FakeService().answer))

    def told(percent: float, **fields: object) -> None:
        body = {"status": "processing", "attempt": 1, "attempts_lost": 0, "started_at": 5}
        progress.check(body | {"percent": percent} | fields)

    told(10.0)
    told(50.0)
    told(0.0, attempts_lost=1)
    told(0.0, status="pending")
    assert false_answers(tmp_path) == []

    told(49.0)
    assert false_answers(tmp_path) == ["progress went back from 50 % to 49 %"]


def test_alike_sources_share_their_content_and_twins_too() -> None:
    sources = [source(1, number) for number in range(400)]
    contents = [one.content for one in sources]

    assert len({alike(1, number).content for number in range(100)}) == 1
    assert len({alike(1, number).label for number in range(100)}) == 100
    assert len(set(contents)) < len(contents)
    assert all(one.kind == "ok" for one in sources if contents.count(one.content) > 1)
