"""All other commands as a user runs them (M2, M3), and where the server's address comes from."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import pytest

from converto_cli.__main__ import main
from converto_cli.context import Context
from converto_cli.options import expectation, guessed_options, typed_options
from converto_cli.server import NoServerConfigured, find_server
from converto_cli.session import UsageError
from converto_cli.terminal.exit_codes import of_many
from converto_cli.terminal.formatting import stage_text
from converto_cli.terminal.output import plain, size_text
from converto_client.models import ConversionRecord, SecondsRange
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, problem


def add(service: FakeService, number: str, **more: object) -> None:
    service.conversions[number] = {
        "id": number, "file_id": "f", "filename": "a.png", "target_format": "webp", "status": "completed",
        "percent": 100, "created_at": 1_700_000_000_000, **more,
    }  # fmt: skip


def test_filtered_list_is_tab_separated_in_a_pipe(run: Run, service: FakeService) -> None:
    """M3."""
    for number in range(30):
        add(service, f"c{number}", status="failed" if number % 3 else "completed")
    shown = run("list", "--status", "failed", "--limit", "5")
    every = run("list", "--all", "--json").document()

    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert [row[:2] for row in rows] == [[number, "failed"] for number in ("c1", "c2", "c4", "c5", "c7")]
    assert "--all" in shown.talk
    assert len(every["conversions"]) == 30
    assert every["has_more"] is False


def test_control_characters_do_not_reach_the_terminal(run: Run, service: FakeService) -> None:
    add(service, "c1", filename="a\x1b[2J\u202e.png")

    assert "\x1b" not in run("list").out
    assert plain("a\x1b[2J\u202eb") == "a�[2J�b"


def test_status_with_one_unknown_id_exits_with_3(run: Run, service: FakeService) -> None:
    add(service, "c1")
    done = run("status", "c1", "unknown", "--json")

    assert done.status == 3
    assert [record["id"] for record in done.document()["conversions"]] == ["c1"]
    assert done.document()["errors"][0]["error"]["code"] == "not_found"
    assert run("status", "unknown").status == 1
    assert run("status").status == 2


def test_cancel_and_retry_show_the_new_status(run: Run, service: FakeService) -> None:
    add(service, "c1", status="processing")

    assert run("cancel", "c1").out.split("\t")[1] == "cancelled"
    assert run("retry", "c1").out.split("\t")[1] == "pending"


def test_delete_without_terminal_requires_yes(run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    add(service, "c1")
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        refused = run("delete", "c1")

    assert (refused.status, "--yes" in refused.talk, "c1" in service.conversions) == (2, True, True)
    assert run("delete", "c1", "--yes").status == 0
    assert service.conversions == {}


def test_upload_prints_file_ids(run: Run, service: FakeService, deck: Path) -> None:
    assert run("upload", str(deck)).out == "file-1\n"
    assert run("upload", str(deck), "--json").document()["files"][0]["file"]["id"] == "file-2"


def test_closed_pipe_ends_an_upload_of_several_files(
    service: FakeService, deck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ClosedPipe(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    other = deck.with_name("other.pptx")
    other.write_bytes(b"more slides")
    monkeypatch.setattr(sys, "stdout", ClosedPipe())

    main(("upload", str(deck), str(other)))

    assert list(service.files) == ["file-1"]


def test_watch_in_a_pipe_prints_one_line_per_change(run: Run, service: FakeService) -> None:
    add(service, "conversion-1", status="processing")
    stream = service.event("snapshot", "1", percent=10, stage="starting") + service.event(
        "conversion", "2", percent=100, status="completed"
    )
    service.events = [stream, stream]
    plainly, as_json = run("watch", "conversion-1"), run("watch", "conversion-1", "--json")

    assert plainly.out == "10\tprocessing\tstarting\n100\tcompleted\t\n"
    assert [json.loads(line)["percent"] for line in as_json.out.splitlines()] == [10, 100]


def test_watch_of_a_failing_conversion_exits_with_5(run: Run, service: FakeService) -> None:
    add(service, "conversion-1", status="processing")
    error = {"code": "source_corrupt", "message": "The file is damaged"}
    service.events = [service.event("snapshot", "1", status="failed", error=error)]
    done = run("watch", "conversion-1")

    assert done.status == 5
    assert "The file is damaged" in done.talk


def test_formats_list_sources_and_options(run: Run, service: FakeService) -> None:
    schema = {"properties": {"dpi": {"type": "integer", "minimum": 36, "maximum": 600}}}
    steps = [{"converter": "pdfium", "source_format": "pdf", "target_format": "png"}]
    route = {"source": "pdf", "target": "png", "engine": "pdfium", "engine_version": "7", "steps": steps}
    service.routes = [{**route, "options_schema": schema, "losses": ["links are lost"]}]

    assert run("formats").out == "pdf\tpng\n"
    assert run("formats", "pdf").out == "png\tpdfium 7\tpdf → png\tdpi: 36 to 600\tlinks are lost\n"
    assert run("formats", "--json").document()["routes"][0]["source"] == "pdf"


def test_formats_without_offers_print_advice(run: Run) -> None:
    done = run("formats")

    assert done.status == 1
    assert "converto doctor" in done.talk


@pytest.mark.parametrize("source", ["deck.pdf", "pdf", "folder/deck.pdf"])
def test_plan_shows_steps_time_losses_and_options(run: Run, source: str) -> None:
    """W2, M5: what will happen, before anything is uploaded."""
    done = run("plan", source, "--to", "png")

    assert done.out.splitlines() == [
        "step 1   pdf → png by pdfium 7",
        "time     2 s to 75 s (from 12 earlier conversions here)",
        "loses    links are lost",
        "option   dpi: 36 to 600",
        "option   pages: none or text (Such as 1-3)",
    ]
    assert run("plan", source, "--to", "png", "--json").document()["expected"]["based_on"] == 12


def test_stage_shows_the_remaining_time_as_a_range() -> None:
    record = ConversionRecord(id="1", file_id="2", target_format="pdf", status="processing", stage="page 3 of 9")
    rest = SecondsRange(low_s=40, high_s=7500)

    assert stage_text(record) == "page 3 of 9"
    assert stage_text(msgspec.structs.replace(record, remaining=rest)) == "page 3 of 9, 40 s to 2 h 5 min left"


def test_doctor_of_a_healthy_server_exits_with_0(run: Run, service: FakeService) -> None:
    service.routes = [{"source": "pdf", "target": "png", "engine": "pdfium", "engine_version": "7"}]
    done = run("doctor")

    assert done.status == 0, done.out
    assert "BAD" not in done.out
    assert "pdfium 7" in done.out


def test_doctor_shows_when_an_access_token_expires(run: Run, service: FakeService) -> None:
    expires_at = int((time.time() + 600) * 1000)
    identity = {"owner": "oidc.anna", "scopes": ["conversions:read"], "expires_at": expires_at}
    service.fail("GET", ".*/whoami", httpx2.Response(200, json=identity))
    done = run("doctor")

    assert "belongs to oidc.anna, may conversions:read, expires in 10 min" in done.out


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(401, "token_expired", "Set CONVERTO_API_KEY or use --api-key"), (403, "insufficient_scope", "such a token with")],
)
def test_refused_access_token_exits_with_4(run: Run, service: FakeService, status: int, code: str, words: str) -> None:
    service.fail("GET", ".*/conversions", problem(status, code, "The access token is not good enough"))
    done = run("list")

    assert done.status == 4
    assert "The access token is not good enough" in done.talk and words in done.talk


def test_doctor_reports_each_problem_with_advice(run: Run, service: FakeService) -> None:
    """C3."""
    service.health = {"status": "unavailable", "checks": {"broker": {"status": "unavailable", "error": "refused"}}}
    service.worker_records = [{"id": "w1", "slots": 1, "sandbox": "off"}]
    done = run("doctor", "--json")

    bad = {finding["name"]: finding["advice"] for finding in done.document()["findings"] if not finding["ok"]}
    assert done.status == 1
    assert bad.keys() == {"broker", "worker", "engines"}
    assert all(bad.values())


def test_doctor_names_a_bad_queue_and_the_remedy(run: Run, service: FakeService) -> None:
    fault = "queue conversions.image.bulk exists with type classic instead of quorum; it is used as it is. Delete it"
    service.health = {"status": "degraded", "checks": {"broker": {"status": "ok", "faults": [fault]}}}

    done = run("doctor", "--json")

    found = [finding for finding in done.document()["findings"] if "conversions.image.bulk" in finding["words"]]
    assert done.status == 1
    assert [(finding["name"], finding["ok"], finding["advice"]) for finding in found] == [
        ("broker", False, "Delete it")
    ]


def test_doctor_tells_a_silent_program_from_a_missing_one(run: Run, service: FakeService) -> None:
    """C3, M15."""
    silent = {"engine": "LibreOffice", "family": "office", "since": 1, "error": "no answer within 60 s"}
    service.worker_records = [
        {
            "id": "w1",
            "sandbox": "bubblewrap",
            "offers": ["vips"],
            "not_answering": [{"converter": name, **silent} for name in ("libreoffice", "keynote")],
            "not_installed": ["f3d"],
        },
        {"id": "w2", "sandbox": "bubblewrap", "not_installed": ["OpenCASCADE", "f3d"]},
    ]
    service.routes = [{"source": "png", "target": "jpg", "engine": "libvips", "engine_version": "8.14"}]
    done = run("doctor", "--json")

    findings = {finding["name"]: finding for finding in done.document()["findings"]}
    assert done.status == 1
    assert not findings["engine"]["ok"]
    assert findings["engine"]["words"].startswith("LibreOffice is installed on w1 but has not answered for ")
    assert "it is asked again" in findings["engine"]["words"]
    assert "accepted and waits" in findings["engine"]["advice"]
    assert findings["engines"]["ok"] and findings["engines"]["words"].endswith("; not installed: f3d")
    assert sum(finding["name"] == "engine" for finding in done.document()["findings"]) == 1


def test_doctor_reports_an_unreachable_server(run: Run) -> None:
    done = run("doctor", "--server", "http://127.0.0.1:1")

    assert done.status == 1
    assert "BAD  server" in done.out


def test_unreachable_server_exits_with_6(run: Run) -> None:
    done = run("list", "--server", "http://127.0.0.1:1", "--json")

    assert done.status == 6
    assert done.document()["error"]["code"] == "server_unreachable"


@pytest.mark.parametrize(
    "arguments",
    [
        ["convrt"],
        ["convert", "a.pptx"],
        ["convert", "--to", "pdf"],
        ["convert", "a.pptx", "--to", "pdf", "--jobs", "0"],
        ["convert", "a.pptx", "--to", "pdf", "--unknown"],
        ["list", "--server", "ftp://x"],
    ],
)
def test_invalid_command_line_exits_with_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)

    assert done.status == 2
    assert done.talk


def test_help_and_version_exit_with_0(run: Run) -> None:
    assert run("--help").status == run("convert", "--help").status == run("version").status == 0


def test_ctrl_c_exits_with_130_and_leaves_no_result(run: Run, service: FakeService, deck: Path, tmp_path: Path) -> None:
    def press(request: httpx2.Request) -> None:
        if request.url.path.endswith("/uploaded"):
            os.kill(os.getpid(), signal.SIGINT)

    service.before = press
    # A test run that was started in the background ignores Ctrl-C, and so would the command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = run("convert", str(deck), "--to", "pdf")
    finally:
        signal.signal(signal.SIGINT, before)

    assert done.status == 130
    assert "Traceback" not in done.talk
    assert not (tmp_path / "deck.pdf").exists()


# Where the server is ---------------------------------------------------------------------------------------------


def test_server_options_precede_environment_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack = tmp_path / ".converto" / "stack.json"
    stack.parent.mkdir()
    stack.write_text(json.dumps({"url": "http://stack", "api_key": "cvt_stack", "pids": {}}))
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "folder")
    environment = {"CONVERTO_SERVER_URL": "http://environment", "CONVERTO_API_KEY": "cvt_environment"}

    flags = find_server(Context(server="http://flag", api_key="cvt_flag"), environment=environment)
    named = find_server(Context(), environment=environment)
    found = find_server(Context(), environment={})
    assert (flags.url, flags.api_key) == ("http://flag", "cvt_flag")
    assert (named.url, named.api_key) == ("http://environment", "cvt_environment")
    assert (found.url, found.api_key, found.is_laptop_stack) == ("http://stack", "cvt_stack", True)


def test_key_of_the_local_stack_is_not_sent_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"url": "http://stack", "api_key": "cvt_stack"}))
    environment = {"CONVERTO_HOME": str(tmp_path)}

    assert find_server(Context(server="http://elsewhere"), environment=environment).api_key is None
    assert find_server(Context(), environment=environment).api_key == "cvt_stack"


def test_configuration_file_applies_without_local_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(NoServerConfigured, match="make up"):
        find_server(Context(), environment={})
    file = tmp_path / "config" / "converto" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('server_url = "https://convert.example"\napi_key = "cvt_file"\n')
    found = find_server(Context(), environment={})
    file.write_text("server_url = 3")

    assert (found.url, found.api_key) == ("https://convert.example", "cvt_file")
    with pytest.raises(ValueError, match="server_url"):
        find_server(Context(), environment={})


# Small pure parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "typed"),
    [
        ({"type": "integer"}, "82", 82),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "number"}, "2", 2),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "off", False),
        ({"type": "string"}, "82", "82"),
        ({"enum": ["a", "B"]}, "b", "B"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "none", None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "7", 7),
        ({"type": ["integer", "null"]}, "7", 7),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "1-3", "1-3"),
        ({}, "x", "x"),
    ],
)
def test_option_value_follows_the_schema(schema: dict[str, object], value: str, typed: object) -> None:
    found = typed_options({"x": value}, {"properties": {"x": schema}})["x"]

    assert (found, type(found)) == (typed, type(typed))


def test_option_of_wrong_type_names_the_expected_values() -> None:
    with pytest.raises(UsageError, match="1 to 100"):
        typed_options({"x": "many"}, {"properties": {"x": {"type": "integer", "minimum": 1, "maximum": 100}}})
    assert expectation({"anyOf": [{"type": "boolean"}, {"enum": ["a", "b"]}]}) == "yes|no or a|b"


def test_option_for_an_unknown_format_is_guessed() -> None:
    given = {"a": "8", "b": "0.5", "c": "true", "d": "1-3"}

    assert guessed_options(given) == {"a": 8, "b": 0.5, "c": True, "d": "1-3"}


@pytest.mark.parametrize(
    ("statuses", "status"), [([], 0), ([0, 0], 0), ([0, 5], 3), ([5, 5], 5), ([5, 6], 1), ([6], 6), ([1, 1], 1)]
)
def test_several_exit_statuses_become_one(statuses: list[int], status: int) -> None:
    assert of_many(statuses) == status


def test_size_has_a_fitting_unit() -> None:
    assert [size_text(size) for size in (0, 999, 1500, 123_456_789, 5 * 10**12)] == [
        "0 B", "999 B", "1.5 kB", "123 MB", "5.0 TB",
    ]  # fmt: skip


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "convert" in capsys.readouterr().out


def test_history_has_a_row_per_event_and_reports_gaps(run: Run) -> None:
    done = run("history", "c1")

    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["created", "attempt failed"]
    assert "The program crashed" in done.out
    assert "2 entries were lost" in done.talk
    assert run("history", "c1", "--json").document()["history"][1]["code"] == "engine_crashed"


def test_download_of_a_lost_result_names_the_retry(run: Run, service: FakeService, tmp_path: Path) -> None:
    add(service, "c1")
    service.lost_after_outputs = 0
    done = run("download", "c1", "-o", str(tmp_path), "--json")

    (row,) = done.document()["downloads"]
    assert done.status == 1
    assert (row["error"]["code"], row["error"]["retryable"]) == ("result_lost", True)
    assert "converto retry" in row["error"]["message"]
