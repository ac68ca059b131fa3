"""A worker that starts on a busy machine: slow is not missing, and nothing that was accepted is lost (C3, M15).

What once happened: workers that started beside a heavy load answered "converto cannot read pptx files here" for as long
as they lived, because a question for a version had taken too long.
"""

import asyncio
import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from converto_engines import planner
from converto_engines.converter import offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from deploy.local.errors import ProgramMissing
from deploy.local.home import REPOSITORY
from deploy.local.stack.stack import SERVERS, Stack
from tests.burners import burners
from tests.conftest import IMPATIENT, client_of, running_stack, skip_or_fail
from tests.e2e.command_line import converto
from tests.e2e.plain_http import fetch, finish, wait_until

Route = tuple[str, str]
LOAD = 10  # programs that want each core


@contextmanager
def stack_of(*parts: str) -> Iterator[Stack]:
    try:
        with running_stack("slow-start", (*SERVERS, *parts), settings=IMPATIENT) as stack:
            yield stack
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@contextmanager
def slow_worker(stack: Stack, until: Path) -> Iterator[subprocess.Popen[bytes]]:
    folders = os.pathsep.join(str(REPOSITORY / folder) for folder in ("", "libs", "services"))
    environment = {**os.environ, **stack.environment, "PYTHONPATH": folders, "SLOW_UNTIL": str(until)}
    with (until.parent / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.slow_worker"], env=environment, stdout=log, stderr=log
        )
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def live_routes(http: httpx2.Client, **query: str) -> set[Route]:
    return {(route["source"], route["target"]) for route in http.get("/api/v1/formats", params=query).json()["routes"]}


def submit(http: httpx2.Client, path: Path, target: str) -> dict[str, Any]:
    with path.open("rb") as content:
        answer = http.post("/api/v1/conversions", data={"target_format": target}, files={"file": (path.name, content)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["conversion"])


def tone(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(step / 3))) for step in range(8000)))
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def silent_engines(http: httpx2.Client) -> set[str]:
    workers = http.get("/api/v1/workers").json()["workers"]
    return {entry["engine"] for worker in workers for entry in worker["not_answering"]}


def once(condition: Callable[[], bool], *, within_s: float) -> None:
    wait_until(lambda: True if condition() else None, within_s=within_s)


def test_conversion_for_a_hanging_program_completes_after_it_answers(
    idle_stack: Stack, idle_http: httpx2.Client, tmp_path: Path
) -> None:
    stack, http = idle_stack, idle_http
    seen = tmp_path / "seen-by-programs"
    seen.mkdir()
    with slow_worker(stack, seen / "answers-now"):
        once(lambda: {("csv", "json"), ("md", "html")} <= live_routes(http), within_s=60)
        once(lambda: silent_engines(http) == {"LibreOffice", "ffmpeg"}, within_s=60)
        live, all_routes = live_routes(http), live_routes(http, sleeping="true")
        quick = finish(http, submit(http, text(tmp_path / "a.csv", "a,b\n1,2\n"), "json")["id"])
        document = submit(http, text(tmp_path / "letter.rtf", r"{\rtf1 Dear reader}"), "pdf")
        sound = submit(http, tone(tmp_path / "tone.wav"), "mp3")
        health = http.get("/api/health").json()
        doctor = converto(stack, "doctor", "--json", cwd=tmp_path, check=1)
        states = [http.get(f"/api/v1/conversions/{one['id']}").json() for one in (document, sound)]
        (seen / "answers-now").touch()
        once(lambda: live_routes(http) == all_routes, within_s=30)
        done = [finish(http, one["id"]) for one in (document, sound)]
        outputs = [fetch(http, one["id"])[0] for one in done]
        once(lambda: not silent_engines(http), within_s=10)

    assert not {("rtf", "pdf"), ("wav", "mp3")} & live
    assert {("rtf", "pdf"), ("wav", "mp3")} <= all_routes
    assert quick["status"] == "completed"
    assert health["status"] == "ok" and health["engines_not_answering"] == ["LibreOffice", "ffmpeg"]
    findings = [finding for finding in json.loads(doctor.stdout)["findings"] if finding["name"] == "engine"]
    assert [finding["words"].split()[0] for finding in findings] == ["LibreOffice", "ffmpeg"]
    assert {state["status"] for state in states} <= {"pending", "processing"}
    assert [(one["status"], one["attempt"], one["errors"]) for one in done] == [("completed", 1, [])] * 2
    assert outputs[0].startswith(b"%PDF")


@pytest.mark.minutes
@pytest.mark.timeout(900)
def test_every_format_is_offered_a_minute_after_the_load() -> None:
    with burners(LOAD * (os.cpu_count() or 1)):
        starting = stack_of("api", "workers")
        stack = starting.__enter__()
        http = client_of(stack, timeout_s=60)
        accepted_under_load = http.get("/api/v1/workers").status_code
    ended = time.monotonic()
    try:
        expected = asyncio.run(routes_of_this_machine())
        once(lambda: live_routes(http) == expected, within_s=60 - (time.monotonic() - ended))
        once(lambda: not silent_engines(http), within_s=20)
        findings = http.get("/api/health").json()
    finally:
        http.close()
        starting.__exit__(None, None, None)

    assert accepted_under_load == 200
    assert findings["status"] == "ok" and findings["engines_not_answering"] == []


async def routes_of_this_machine() -> set[Route]:
    """What an idle worker offers here."""
    converters = build_converters(await Sandbox.choose("auto"))
    try:
        return {(route.source, route.target) for route in planner.routes(await offers_of(converters))}
    finally:
        for converter in converters:
            await converter.aclose()
