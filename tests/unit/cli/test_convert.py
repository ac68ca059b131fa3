"""`converto convert` as a user runs it: results, bars, JSON, several files, exit statuses (M2)."""

import io
import json
import sys
from pathlib import Path

import pytest

from converto_cli.__main__ import main
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, problem

SCHEMA = {"properties": {"quality": {"type": "integer", "minimum": 1, "maximum": 100}, "lossless": {"type": "boolean"}}}


def test_paths_go_to_stdout_and_messages_to_stderr(run: Run, service: FakeService, deck: Path, tmp_path: Path) -> None:
    done = run("convert", str(deck), "--to", "pdf", "-o", "out")

    assert done.status == 0
    assert done.out == "out/deck.pdf\n"
    assert "out/deck.pdf" in done.talk
    assert (tmp_path / "out" / "deck.pdf").read_bytes() == b"%PDF result"


def test_merge_joins_files_in_the_given_order(run: Run, service: FakeService, deck: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.pdf"
    more.write_bytes(b"more")
    done = run("convert", str(deck), str(more), str(more), "--to", "pdf", "--merge", "-o", "out", "--json")

    (asked,) = service.sent("POST", "/api/v1/conversions")
    body = json.loads(asked.content)
    (result,) = done.document()["results"]
    assert done.status == 0
    assert len(body["append_file_ids"]) == 2
    assert result["appended"] == [str(more), str(more)]
    assert len(result["outputs"]) == 1


def test_merge_with_a_missing_file_converts_nothing(run: Run, service: FakeService, deck: Path) -> None:
    done = run("convert", str(deck), "nowhere.pdf", "--to", "pdf", "--merge")

    assert done.status != 0
    assert service.sent("POST", "/api/v1/conversions") == []


def test_pipe_has_no_bars(run: Run, deck: Path) -> None:
    done = run("convert", str(deck), "--to", "pdf")

    assert "\x1b" not in done.talk + done.out
    assert "%" not in done.talk + done.out


def test_terminal_shows_a_bar_with_the_live_stage(
    service: FakeService, deck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    talk = Terminal()
    monkeypatch.setattr(sys, "stderr", talk)
    monkeypatch.setenv("TERM", "xterm")
    service.events = [
        service.event("snapshot", "1", percent=40, stage="rendering pages")
        + service.event("conversion", "2", percent=100, status="completed")
    ]

    assert main(["convert", str(deck), "--to", "pdf"]) == 0
    assert "deck.pptx" in talk.getvalue()
    assert "100%" in talk.getvalue()
    assert len(service.sent("GET", ".*/events")) == 1


def test_json_prints_one_document(run: Run, deck: Path) -> None:
    content = run("convert", str(deck), "--to", "pdf", "--json").document()

    (result,) = content["results"]
    assert content["ok"] is True
    assert (result["file"], result["ok"], result["status"]) == (str(deck), True, "completed")
    assert result["outputs"] == ["deck.pdf"]
    assert result["conversion_id"] == result["conversion"]["id"] == "conversion-1"
    assert result["error"] is None


def test_quiet_prints_only_results(run: Run, deck: Path) -> None:
    done = run("--quiet", "convert", str(deck), "--to", "pdf")

    assert (done.out, done.talk) == ("deck.pdf\n", "")


def test_result_is_numbered_unless_overwrite(run: Run, deck: Path, tmp_path: Path) -> None:
    (tmp_path / "deck.pdf").write_text("mine")

    assert run("convert", str(deck), "--to", "pdf").out == "deck (2).pdf\n"
    assert run("convert", str(deck), "--to", "pdf", "--overwrite").out == "deck.pdf\n"


def test_one_bad_file_of_several_exits_with_3(run: Run, deck: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pptx").touch()
    done = run("convert", str(deck), "empty.pptx", "missing.pptx", "--to", "pdf", "--json")

    assert done.status == 3
    assert [result["ok"] for result in done.document()["results"]] == [True, False, False]
    assert "is empty" in done.talk
    assert "missing.pptx" in done.talk


@pytest.mark.parametrize(
    ("ends_as", "status"),
    [
        ({"status": "failed", "error": {"code": "source_encrypted", "message": "Please remove the password"}}, 5),
        ({"status": "cancelled"}, 5),
    ],
)
def test_failed_conversion_exits_with_5_and_the_reason(
    run: Run, service: FakeService, deck: Path, ends_as: dict[str, object], status: int
) -> None:
    """I13."""
    service.ends_as = ends_as
    done = run("convert", str(deck), "--to", "pdf", "--json")

    assert done.status == status
    assert done.document()["results"][0]["status"] == ends_as["status"]
    assert "conversion-1" in done.talk


def test_wait_timeout_exits_with_7_and_names_next_commands(run: Run, service: FakeService, deck: Path) -> None:
    service.ends_as = {"status": "processing"}
    done = run("convert", str(deck), "--to", "pdf", "--timeout", "0.01")

    assert done.status == 7
    assert "converto watch conversion-1" in done.talk


def test_refused_key_exits_with_4(run: Run, deck: Path) -> None:
    done = run("convert", str(deck), "--to", "pdf", "--api-key", "cvt_wrong_key")

    assert done.status == 4
    assert "CONVERTO_API_KEY" in done.talk
    assert "cvt_wrong_key" not in done.talk


def test_refused_target_shows_the_message_of_the_server(run: Run, deck: Path) -> None:
    """M5."""
    done = run("convert", str(deck), "--to", "nope")

    assert done.status == 1
    assert "pptx can become: pdf, png" in done.talk


def test_detached_convert_prints_the_id_and_fetches_nothing(run: Run, service: FakeService, deck: Path) -> None:
    """M1 in part: put in, go away, ask later."""
    done = run("convert", str(deck), "--to", "pdf", "--detach", "--client-id", "wall")
    later = run("download", done.out.strip())

    assert done.out == "conversion-1\n"
    assert service.conversions["conversion-1"]["client_id"] == "wall"
    assert later.out == "deck.pdf\n"
    assert run("convert", str(deck), "--to", "pdf", "--detach").out == "conversion-2\n"


def test_interrupted_command_resumes_the_same_conversion(run: Run, service: FakeService, deck: Path) -> None:
    """M2, C7: the upload is refused until the attempts are used up; next time only what is missing is done."""
    service.fail("POST", "/api/v1/files/file-1/uploaded", problem(500, "internal_error"))
    first = run("convert", str(deck), "--to", "pdf")
    second = run("convert", str(deck), "--to", "pdf", "--json")

    assert first.status == 1
    assert second.document()["results"][0]["conversion_id"] == "conversion-1"
    assert len(service.conversions) == 1


def test_options_arrive_in_the_types_of_the_schema(run: Run, service: FakeService, deck: Path) -> None:
    service.routes = [{"source": "pptx", "target": "pdf", "options_schema": SCHEMA}]
    run("convert", str(deck), "--to", "pdf", "--option", "quality=82", "-O", "lossless=no")

    sent = json.loads(service.sent("POST", "/api/v1/conversions")[0].content)
    assert sent["options"] == {"quality": 82, "lossless": False}


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("quality=high", "1 to 100"),
        ("quality=600", "1 to 100"),
        ("qualty=8", "available: lossless, quality"),
        ("quality", "name=value"),
    ],
)
def test_invalid_option_exits_with_2_and_sends_nothing(
    run: Run, service: FakeService, deck: Path, word: str, answer: str
) -> None:
    service.routes = [{"source": "pptx", "target": "pdf", "options_schema": SCHEMA}]
    done = run("convert", str(deck), "--to", "pdf", "--option", word)

    assert done.status == 2
    assert answer in done.talk
    assert service.sent("POST", "/api/v1/conversions") == []


def test_file_given_twice_is_converted_once(run: Run, service: FakeService, deck: Path) -> None:
    done = run("convert", str(deck), str(deck), "--to", "pdf")

    assert done.out == "deck.pdf\n"
    assert len(service.conversions) == 1


def test_fresh_is_sent_to_the_server(run: Run, service: FakeService, tmp_path: Path) -> None:
    """I8: whoever doubts an earlier result can have the programs run again."""
    source = tmp_path / "a.png"
    source.write_bytes(b"picture")
    run("convert", str(source), "--to", "webp", "-o", str(tmp_path / "plain"))
    run("convert", str(source), "--to", "webp", "-o", str(tmp_path / "fresh"), "--fresh")

    plain, fresh = [json.loads(request.content) for request in service.sent("POST", "/api/v1/conversions")]
    assert "fresh" not in plain
    assert fresh["fresh"] is True
