"""Passwords of encrypted files: asked for or read from a file, never taken from the command line."""

import getpass
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService

WORD = "Sesam öffne dich"


def sent_options(service: FakeService) -> Any:
    (asked,) = service.sent("POST", "/api/v1/conversions")
    return json.loads(asked.content)["options"]


def test_password_comes_from_the_first_line_of_a_file(
    run: Run, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    (tmp_path / "word").write_text(f"{WORD}\r\nanother line\n", encoding="utf-8")
    done = run("convert", str(deck), "--to", "pdf", "--password-file", "word", "--json")

    assert done.status == 0
    assert sent_options(service) == {"password": WORD}
    assert WORD not in done.out + done.talk


def test_password_comes_from_stdin(run: Run, service: FakeService, deck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{WORD}\n"))

    assert run("convert", str(deck), "--to", "pdf", "--password-file", "-").status == 0
    assert sent_options(service) == {"password": WORD}


def test_password_is_asked_for_without_echo(
    run: Run, service: FakeService, deck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _prompt, stream: WORD)
    done = run("convert", str(deck), "--to", "pdf", "--password")

    assert done.status == 0
    assert sent_options(service) == {"password": WORD}
    assert WORD not in done.out + done.talk


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--option", "password=open sesame"), "--password-file"),
        (("--password",), "--password-file PATH"),
        (("--password", "--password-file", "word"), "Use one of"),
        (("--password-file", "empty"), "is empty"),
        (("--password-file", "bytes"), "UTF-8"),
    ],
)
def test_unusable_password_is_refused_before_anything_is_sent(
    run: Run, service: FakeService, deck: Path, tmp_path: Path, arguments: tuple[str, ...], advice: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\n")
    done = run("convert", str(deck), "--to", "pdf", *arguments)

    assert done.status == 2
    assert advice in done.talk
    assert "sesame" not in done.talk
    assert service.sent("POST", ".*") == []


def test_missing_password_file_is_named(run: Run, deck: Path) -> None:
    done = run("convert", str(deck), "--to", "pdf", "--password-file", "nowhere")

    assert done.status == 1
    assert "nowhere" in done.talk


def test_retry_sends_the_password_again(run: Run, service: FakeService, deck: Path, tmp_path: Path) -> None:
    (tmp_path / "word").write_text(WORD, encoding="utf-8")
    run("convert", str(deck), "--to", "pdf")
    done = run("retry", "conversion-1", "--password-file", "word")

    (asked,) = service.sent("POST", ".*/retry")
    assert done.status == 0
    assert json.loads(asked.content) == {"password": WORD}


def test_nothing_on_disk_remembers_the_password(run: Run, deck: Path, tmp_path: Path) -> None:
    (tmp_path / "word").write_text(WORD, encoding="utf-8")
    run("convert", str(deck), "--to", "pdf", "--password-file", "word", "--detach")

    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert all(WORD.encode() not in path.read_bytes() for path in kept)
