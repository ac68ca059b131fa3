"""`converto admin parked …` as an administrator runs it (C4, M2)."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService


@pytest.fixture(autouse=True)
def _dead_letters(service: FakeService) -> None:
    """Rubbish, and the wake-up of a conversion that still waits."""
    died = {"died_at": 1_700_000_000_000, "queue": "conversions.office.normal", "routing_key": "k"}
    state = {"status": "pending", "token": 1, "error_code": "engine_crashed", "error_message": "It crashed"}
    service.parked = {
        "m1": {
            "id": "m1", "reason": "unreadable", "explanation": "The message cannot be read: not an event", **died,
            "body": "\x1b[2Jrubbish", "outlook": "unreadable", "advice": "It cannot be read; drop it", "size_bytes": 11,
        },
        "m2": {
            "id": "m2", "reason": "delivery_limit", "explanation": "It was delivered 21 times", **died,
            "conversion_id": "c1", "conversion_then": state, "conversion_now": {**state, "owner": "ann"},
            "outlook": "waits", "advice": "Its wake-up is sent again by itself", "verdict": "delivery_limit",
        },
    }  # fmt: skip


def test_list_shows_rows_with_filters_and_pages(run: Run, service: FakeService) -> None:
    rows = [line.split("\t") for line in run("admin", "parked", "list").out.splitlines()]
    limited, filtered = run("admin", "parked", "list", "-n", "1"), run("admin", "parked", "list", "--reason", "expired")
    every = run("admin", "parked", "list", "--all", "--json").document()

    assert [(row[0], row[1], row[4], row[5]) for row in rows] == [
        ("m1", "unreadable", "", ""),
        ("m2", "delivery_limit", "c1", "pending"),
    ]
    assert len(limited.out.splitlines()) == 1 and "--all" in limited.talk
    assert (filtered.status, filtered.out) == (0, "") and "There are no dead letters" in filtered.talk
    assert [message["id"] for message in every["messages"]] == ["m1", "m2"]
    assert every["has_more"] is False


def test_show_explains_cause_state_and_advice(run: Run) -> None:
    plainly, as_json = run("admin", "parked", "show", "m2"), run("admin", "parked", "show", "m2", "--json")
    rubbish = run("admin", "parked", "show", "m1")

    assert "is now     pending (token 1), last error engine_crashed: It crashed" in plainly.out
    assert "to do      Its wake-up is sent again by itself" in plainly.out
    assert as_json.document()["conversion_now"]["owner"] == "ann"
    assert "rubbish" in rubbish.out and "\x1b" not in rubbish.out


def test_refused_requeue_is_explained_and_the_rest_continues(run: Run, service: FakeService) -> None:
    done = run("admin", "parked", "requeue", "m1", "m2", "--json")

    assert done.status == 3
    assert done.document()["requeued"] == ["m2"]
    assert done.document()["errors"][0]["error"]["code"] == "conflict"
    assert "m1: It cannot be read; drop it" in done.talk
    assert set(service.parked) == {"m1"}


def test_requeue_all_covers_every_page_and_reports_the_rest(run: Run, service: FakeService) -> None:
    done = run("admin", "parked", "requeue", "--all")

    assert (done.status, done.out) == (3, "1 requeued, 1 left\n")
    assert "m1: It cannot be read; drop it" in done.talk
    assert run("admin", "parked", "requeue", "--all").status == 1
    assert run("admin", "parked", "requeue", "--all", "--reason", "expired").status == 0


def test_drop_deletes_the_given_ids(run: Run, service: FakeService) -> None:
    done = run("admin", "parked", "drop", "m1")

    assert (done.status, set(service.parked)) == (0, {"m2"})
    assert "m1 dropped" in done.talk


def test_drop_all_without_terminal_requires_yes(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        refused = run("admin", "parked", "drop", "--all")
    assert (refused.status, "--yes" in refused.talk, len(service.parked)) == (2, True, 2)

    some = run("admin", "parked", "drop", "--all", "--reason", "unreadable", "--yes", "--json")
    assert some.document() == {"ok": True, "dropped": 1, "refusals": []}
    assert set(service.parked) == {"m2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("requeue",), "Provide at least one id; `converto admin parked list` lists them"),
        (("drop", "m1", "--all"), "not both"),
        (("drop", "m1", "--reason", "unreadable"), "--reason requires --all"),
    ],
)
def test_ambiguous_arguments_exit_with_2_and_change_nothing(
    run: Run, service: FakeService, arguments: tuple[str, ...], words: str
) -> None:
    done = run("admin", "parked", *arguments)

    assert (done.status, len(service.parked)) == (2, 2)
    assert words in done.talk


def test_unknown_id_names_the_command_that_lists_ids(run: Run) -> None:
    for verb in ("show", "requeue", "drop"):
        done = run("admin", "parked", verb, "m9")
        assert done.status == 1
        assert "`converto admin parked list` lists what exists" in done.talk


def test_key_without_administrator_right_exits_with_4(run: Run, service: FakeService) -> None:
    service.is_admin = False
    for arguments in (("list",), ("show", "m1"), ("requeue", "m1"), ("drop", "--all", "--yes")):
        done = run("admin", "parked", *arguments)
        assert done.status == 4
        assert "administrator's API key" in done.talk and "--api-key" in done.talk
