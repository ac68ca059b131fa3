"""The judgement of a run beside its ledger: a fabricated journal for each verdict shows that it can fail a run."""

import re
import time
from pathlib import Path

import msgspec
import pytest

from converto_core.conversion.record import Conversion, Output
from converto_core.files.record import File, FileStatus
from converto_infra.settings import Settings
from deploy.local.stack.sockets import pick_free_ports
from tests.chaos.faults.guaranteed import guaranteed_faults, missed_points
from tests.chaos.processes.crash_points import WORKER_POINTS
from tests.chaos.report.accounts import accounts_of
from tests.chaos.report.entries import (
    Began,
    Drained,
    Entry,
    Injected,
    Interruption,
    Line,
    Load,
    Memory,
    Noted,
    Outage,
    Probe,
    Sent,
    Told,
    Verdict,
)
from tests.chaos.report.findings import completions
from tests.chaos.report.journal import PROCESSES, RUN, Journal, RunJournal
from tests.chaos.report.journal import Entry as ProcessEntry
from tests.chaos.report.leftovers import left_behind, unowned, work_left
from tests.chaos.report.limits import is_quiet, limits_of
from tests.chaos.report.memory import memory_verdicts
from tests.chaos.report.outcome import Outcome, backward_progress, judge
from tests.chaos.report.report import report
from tests.chaos.report.rereads import NotAnswered, until_answered
from tests.chaos.sources import source

BEGAN = Began(at_s=0.0, plan={}, environment={}, lease_s=6.0)
QUIET, BUSY = Load(0.0, 0.05, 1.0, 2), Load(0.0, 0.6, 9.0, 2)
KINDS = [
    BEGAN,
    Sent(1.0, source(1, 16)),
    Noted(1.1, "one", "accepted", "c1"),
    Injected(at_s=1.2, took_s=0.5, name="api: kill -9", met=2, how="2 requests"),
    Outage("broker", "refused", 1.0, 2.0),
    Interruption(1.0, 7),
    Probe("http://a", 1.0, 0.1, 200, frozenset({"broker"}), "health"),
    Told("c1", 1, "completed", 100.0),
    Verdict("heal failed", "rabbitmq"),
    QUIET,
    Memory(1.0, "api-1", 7, 1024),
    Drained(9.0),
]


def journal_with(folder: Path, *lines: Line) -> RunJournal:
    journal = RunJournal(folder / RUN)
    for line in lines:
        journal.append(line)
    return journal


async def judged(folder: Path, *lines: Line) -> Outcome:
    """Judge a folder whose servers do not answer."""
    journal_with(folder, *lines)
    (port,) = pick_free_ports(1)
    return await judge(folder, Settings(mongodb_url=f"mongodb://127.0.0.1:{port}", mongodb_timeout_s=0.3), within_s=0.5)  # type: ignore[arg-type]


def test_every_kind_of_line_is_read_as_written(tmp_path: Path) -> None:
    assert journal_with(tmp_path, *KINDS).read() == KINDS


def test_half_a_last_line_is_left_out(tmp_path: Path) -> None:
    journal = journal_with(tmp_path, BEGAN)
    with (tmp_path / RUN).open("ab") as file:
        file.write(b'{"type":"Drai')

    assert journal.read() == [BEGAN]


def test_accounts_are_read_from_the_journal() -> None:
    given = source(1, 3)
    facts = ("retried", "", "deleting", "", "deleted", "", "attacked", "", "false answer", "wrong", "accepted", "c1")
    noted = [Noted(2.0, given.label, *pair) for pair in zip(facts[::2], facts[1::2], strict=True)]
    (account,) = accounts_of([Sent(1.0, given), *noted, Noted(2.0, "nobody", "retried")])

    assert (account.source, account.conversion_id, account.retries, account.attacks) == (given, "c1", 1, 1)
    assert account.is_deletion_confirmed
    assert account.false_answers == ["wrong"]


def test_only_completed_events_count_as_completions() -> None:
    lines: list[Line] = [
        Told("c1", 1, "completed", 100.0),
        Told("c1", 2, "processing", 5.0),
        Told("c1", 3, "completed", 100.0),
    ]

    assert completions(lines) == {"c1": frozenset({1, 3})}


async def test_unreadable_records_are_a_verdict_and_not_a_traceback(tmp_path: Path) -> None:
    outcome = await judged(tmp_path, BEGAN, Sent(1.0, source(1, 3)), Noted(1.1, source(1, 3).label, "accepted", "c1"))

    assert not outcome.is_clean
    assert outcome.verdicts[-1].name == "the final records could not be read"
    assert (outcome.ledger.attempted, outcome.ledger.accepted, outcome.ledger.lost) == (1, 1, ())
    assert "unknown: the records could not be read" in report(outcome)


@pytest.mark.parametrize("name", ["heal failed", "the run broke", "a client broke", "engines left behind"])
async def test_noted_verdict_makes_the_run_unclean(tmp_path: Path, name: str) -> None:
    outcome = await judged(tmp_path, BEGAN, BUSY, Verdict(name, "why"))

    assert name in {verdict.name for verdict in outcome.counting}
    assert f"verdict: {name}: why" in report(outcome)


async def test_folder_without_a_run_is_a_verdict(tmp_path: Path) -> None:
    assert "no run in this folder" in {verdict.name for verdict in (await judged(tmp_path)).verdicts}


async def test_limit_counts_on_a_quiet_machine_only(tmp_path: Path) -> None:
    (tmp_path / "quiet").mkdir()
    (tmp_path / "busy").mkdir()
    slow = Probe("http://a", 1.0, 2.5, 200)
    quiet = await judged(tmp_path / "quiet", BEGAN, QUIET, slow)
    busy = await judged(tmp_path / "busy", BEGAN, BUSY, slow)

    assert "answers over 2 s" in {verdict.name for verdict in quiet.counting}
    assert "answers over 2 s" not in {verdict.name for verdict in busy.counting}
    assert "does not count on a busy machine" in report(busy)


@pytest.mark.parametrize(("took_s", "status", "count"), [(1.9, 200, 0), (2.1, 200, 1), (2.1, 503, 1), (8.0, 0, 1)])
def test_answer_over_two_seconds_misses_a_limit(took_s: float, status: int, count: int) -> None:
    assert len(limits_of([BEGAN, Probe("http://a", 1.0, took_s, status)], [])) == count


@pytest.mark.parametrize(("claimed_again_s", "count"), [(13.9, 0), (14.1, 1)])
def test_recovery_after_lease_and_three_seconds_misses_a_limit(claimed_again_s: float, count: int) -> None:
    claims = [ProcessEntry(1.0, 7, "claimed", "c1-1", ""), ProcessEntry(claimed_again_s, 8, "claimed", "c1-2", "")]
    found = limits_of([BEGAN, Interruption(5.0, 7)], claims)

    assert [verdict.name for verdict in found] == ["slow recovery"] * count


@pytest.mark.parametrize(("healthy_at_s", "count"), [(12.9, 0), (13.1, 1)])
def test_success_five_seconds_after_an_outage_misses_a_limit(healthy_at_s: float, count: int) -> None:
    outage = Outage("broker", "stopped", 4.0, 8.0)
    again = Probe("http://a", healthy_at_s, 0.0, 200, frozenset({"broker"}), "health")
    found = limits_of([BEGAN, outage, again], [])

    assert [verdict.name for verdict in found] == ["late success after an outage of the broker"] * count


def test_machine_is_quiet_before_and_through_the_run() -> None:
    assert is_quiet([QUIET, QUIET, BUSY])
    assert not is_quiet([BUSY, QUIET, QUIET])
    assert not is_quiet([QUIET, BUSY, BUSY])
    assert not is_quiet([])


async def test_faults_that_met_nobody_are_named(tmp_path: Path) -> None:
    faults = [
        Injected(at_s=1.0, took_s=0.1, name=name, met=met, how="")
        for name, met in (("kill", 2), ("cut", 0), ("cut", 0))
    ]
    outcome = await judged(tmp_path, BEGAN, *faults)

    assert (outcome.faults, outcome.faults_met) == (3, 1)
    assert "1 of 3 met something" in report(outcome)
    assert "met nobody          cut" in report(outcome)


def test_each_point_of_death_is_armed_once_within_the_run() -> None:
    armed = list(guaranteed_faults(60.0, 7))

    assert {fault.name for _, fault in armed} == {f"worker: kill -9, {point}" for point in WORKER_POINTS}
    assert len(armed) == len(WORKER_POINTS)
    assert max(at_s for at_s, _ in armed) < 60.0


def test_point_of_death_that_nobody_reached_is_a_verdict() -> None:
    names = [fault.name for _, fault in guaranteed_faults(60.0, 7)]
    reached = [Injected(at_s=1.0, took_s=0.1, name=name, met=1, how="") for name in names]
    armed_in_vain = Injected(at_s=1.0, took_s=9.0, name=names[0], met=0, how="")

    assert missed_points(reached) == []
    assert [verdict.detail for verdict in missed_points([armed_in_vain, *reached[1:]])] == names[:1]
    assert len(missed_points([])) == len(WORKER_POINTS)


def test_process_holds_what_it_claimed_and_has_not_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path / PROCESSES)
    for what, run in (("claimed", "c1-1"), ("claimed", "c2-1"), ("ended", "c1-1")):
        journal.note(what, run)
    (entry, *_) = journal.read()

    assert journal.held_by(entry.pid) == ["c2-1"]
    assert journal.held_by(entry.pid + 1) == []


def test_live_progress_that_goes_back_is_a_verdict() -> None:
    def told(*percents: float) -> list[Line]:
        return [Told("c1", 1, "processing", percent, beat) for beat, percent in enumerate(percents)]

    assert backward_progress(told(0.0, 10.0, 10.0, 90.0)) == []
    assert [verdict.name for verdict in backward_progress(told(0.0, 10.0, 5.0))] == ["live progress went back"]
    assert backward_progress([*told(50.0), Told("c1", 2, "processing", 0.0, 1)]) == []


def samples(*mib: float, pid: int = 7) -> list[Line]:
    return [Memory(float(number), "api-1", pid, int(each * 1024**2)) for number, each in enumerate(mib)]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (samples(*[50, 99, 99, 99], *[100] * 4, *[120] * 4, *[109] * 4), None),
        (samples(*[100] * 12, *[112] * 4), r"\+12% from the second quarter"),
        (samples(*[100] * 12, *[85] * 4), "-15% from the second quarter"),
        (samples(*[100] * 7), "only 7 samples"),
        ([*samples(*[100] * 8), *samples(*[100] * 8, pid=8)], "it was restarted"),
    ],
)
def test_memory_that_is_not_flat_is_a_verdict(lines: list[Line], why: str | None) -> None:
    found = memory_verdicts(lines)

    assert len(found) == (why is not None)
    assert all(re.search(why or "", verdict.detail) for verdict in found)


def test_leftovers_are_verdicts() -> None:
    assert left_behind({"messages": [], "work folders": []}) == []
    assert [verdict.name for verdict in left_behind({"messages": ["q"], "multipart uploads": ["k"]})] == [
        "messages left behind",
        "multipart uploads left behind",
    ]


def test_work_folder_of_a_conversion_is_left_over(tmp_path: Path) -> None:
    name = "01a22bb8-2d89-7114-bde8-91a524507132-3"
    (tmp_path / "work" / "worker-1" / name / "step-1").mkdir(parents=True)
    (tmp_path / "work" / "worker-2").mkdir()

    assert work_left([tmp_path / "work", tmp_path / "missing"]) == [name]


def test_object_that_no_record_refers_to_is_left_over() -> None:
    ids = [f"01a22bb8-2d89-7114-bde8-91a52450713{number}" for number in range(3)]
    outputs = [f"t/o/out/{ids[0]}/{token}/result.json" for token in (1, 2)]
    sources = [f"t/o/in/{one}/1/source" for one in ids[1:]]
    output = Output(key=outputs[1], filename="x", content_type="x", size_bytes=1, sha256="", sha512="")
    times = {"created_at": 0, "updated_at": 0}
    conversion = Conversion(id=ids[0], owner="o", file_id="f", target_format="json", outputs=(output,), **times)
    deleted = File(id=ids[2], owner="o", filename="x", extension="x", size_bytes=1, key="", **times)
    deleted = msgspec.structs.replace(deleted, status=FileStatus.DELETED)
    kept = msgspec.structs.replace(deleted, id=ids[1], status=FileStatus.UPLOADED)
    records = {ids[0]: conversion}, {ids[1]: kept, ids[2]: deleted}

    assert unowned([*outputs, *sources, "t/strange"], *records) == [outputs[0], sources[1], "t/strange"]


async def test_read_is_repeated_until_it_answers() -> None:
    answers = [ConnectionError(), TimeoutError(), 7]

    async def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await until_answered("a number", read) == 7


async def test_read_that_never_answers_says_so() -> None:
    async def read() -> int:
        raise ConnectionError("refused")

    began_s = time.monotonic()
    with pytest.raises(NotAnswered, match=r"a number: no answer within 0\.1 s, at last ConnectionError"):
        await until_answered("a number", read, within_s=0.1)
    assert time.monotonic() - began_s < 5


def test_lines_know_their_kind() -> None:
    assert all(isinstance(line, Entry) for line in KINDS)
