"""A password travels from the request to the engine and is seen nowhere else.

Looked through: answers, logs, every file of the stack (with the database's own), all collections, all messages, and the
arguments and environments of all processes of the machine while the engines run. Proves I13.
"""

import contextlib
import hashlib
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import httpx2
import pikepdf
import pymongo
import pytest

from converto_core.events import EVENTS_EXCHANGE
from tests.assets.plain_pdf import Page, make_pdf
from tests.conftest import run_apart
from tests.e2e.command_line import converto
from tests.e2e.plain_http import fetch, finish, start, wait_until
from tests.engines.office.locked import Wanted, save
from tests.engines.office.samples import letter

WORD = f"Sesam-{secrets.token_hex(12)}"
TRACES = (WORD.encode(), hashlib.sha256(WORD.encode()).hexdigest().encode())


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encrypted PDF and an encrypted Word document; what made them has ended."""
    folder = tmp_path_factory.mktemp("locked")
    with pikepdf.open(make_pdf(folder / "plain.pdf", [Page(text="inside")])) as plain:
        plain.save(folder / "paper.pdf", encryption=pikepdf.Encryption(user=WORD, owner=WORD))
    save([Wanted(letter(folder / "plain.docx", 2), folder / "letter.docx", WORD)], folder / "profile")
    return {"pdf": folder / "paper.pdf", "docx": folder / "letter.docx"}


class Processes(threading.Thread):
    """Reads arguments and environments of all processes again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.002):
            for folder in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add((folder / name).read_bytes())

    def __enter__(self) -> "Processes":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


@contextlib.contextmanager
def messages(stack: Any) -> Iterator[list[bytes]]:
    """Collect what passes the exchange within this context; the list is filled at its end."""
    url, name, bodies = stack.environment["CONVERTO_RABBITMQ_URL"], f"spy-{secrets.token_hex(4)}", list[bytes]()

    async def bind() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(name, durable=True)
            await queue.bind(EVENTS_EXCHANGE, "#")

    async def drain() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(name)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                bodies.append(message.body)
            await queue.delete(if_unused=False, if_empty=False)

    run_apart(bind)
    try:
        yield bodies
    finally:
        run_apart(drain)


def database(stack: Any) -> bytes:
    """All documents of all collections, as text."""
    with pymongo.MongoClient[dict[str, Any]](stack.environment["CONVERTO_MONGODB_URL"]) as client:
        own = client[stack.environment.get("CONVERTO_MONGODB_DATABASE", "converto")]
        return repr({name: list(own[name].find()) for name in own.list_collection_names()}).encode()


def files(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                yield path.read_bytes()


def traces_in(*parts: bytes) -> list[bytes]:
    return [trace for trace in TRACES for part in parts if trace in part]


def test_password_of_an_argument_would_be_seen() -> None:
    """Shows that the search finds what the other tests do not find."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()", WORD]
    with Processes() as processes, subprocess.Popen(argv, stdin=subprocess.PIPE) as shown:
        wait_until(lambda: traces_in(*tuple(processes.seen)) or None, within_s=30)
        shown.communicate()


@pytest.mark.parametrize(
    ("source", "target", "engine"), [("pdf", "txt", b"unlocking"), ("docx", "png", b"soffice.bin")]
)
def test_password_is_seen_nowhere(
    stack: Any, http: httpx2.Client, locked: dict[str, Path], source: str, target: str, engine: bytes
) -> None:
    with messages(stack) as bodies, Processes() as processes:
        conversion = start(http, locked[source], target, options={"password": WORD})
        meanwhile = database(stack)
        ended = finish(http, conversion["id"])
    outputs = fetch(http, conversion["id"])
    history = http.get(f"/api/v1/conversions/{conversion['id']}/history")

    assert (ended["status"], ended["options"]) == ("completed", {})
    assert outputs and (target != "txt" or b"inside" in outputs[0])
    assert any(engine in line for line in processes.seen), "the engine was not seen"
    assert len(bodies) >= 3
    assert b"sealed_password" in meanwhile
    assert traces_in(repr(conversion).encode(), repr(ended).encode(), history.content) == []
    assert traces_in(*processes.seen) == []
    assert traces_in(*bodies) == []
    assert traces_in(meanwhile, database(stack)) == []
    assert traces_in(*files(stack.home.root)) == []
    assert b"'sealed_password': '" not in database(stack)


@pytest.mark.parametrize("source", ["pdf", "docx"])
def test_wrong_and_missing_passwords_are_told(http: httpx2.Client, locked: dict[str, Path], source: str) -> None:
    """I13."""
    missing = finish(http, start(http, locked[source], "png")["id"])
    wrong = finish(http, start(http, locked[source], "png", options={"password": "open sesame"})["id"])

    assert (missing["error"]["code"], missing["attempt"]) == ("source_encrypted", 1)
    assert (wrong["error"]["code"], wrong["attempt"]) == ("password_wrong", 1)
    assert "option password" in missing["error"]["message"]
    refused = http.post(f"/api/v1/conversions/{wrong['id']}/retry", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "password_missing")
    again = http.post(f"/api/v1/conversions/{wrong['id']}/retry", json={"password": WORD})
    assert again.status_code == 202
    assert finish(http, wrong["id"])["status"] == "completed"


def test_same_file_without_the_password_stays_closed(http: httpx2.Client, locked: dict[str, Path]) -> None:
    """A cached result would give it away."""
    opened = finish(http, start(http, locked["pdf"], "txt", options={"password": WORD})["id"])
    closed = finish(http, start(http, locked["pdf"], "txt")["id"])
    again = finish(http, start(http, locked["pdf"], "txt", options={"password": WORD})["id"])

    assert [one["status"] for one in (opened, closed, again)] == ["completed", "failed", "completed"]
    assert [again["from_cache"], again["error"]] == [False, None]


def test_command_line_reads_the_password_from_a_file(stack: Any, locked: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "word").write_text(f"{WORD}\n")
    with Processes() as processes:
        done = converto(
            stack, "convert", str(locked["pdf"]), "--to", "txt", "--password-file", "word", "-o", "out", cwd=tmp_path
        )

    assert "inside" in (tmp_path / "out" / "paper.txt").read_text()
    assert traces_in(*processes.seen, done.stdout.encode(), done.stderr.encode()) == []
