"""The ledger itself: each kind of failure is detected. No network, milliseconds."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from converto_core.conversion.record import Conversion, Output, Status
from tests.chaos.report.accounts import Account
from tests.chaos.report.entries import Injected, Interruption, Outage, Probe
from tests.chaos.report.figures import (
    FILE_SERVICE_STARTS_S,
    net_recoveries,
    recoveries,
    seconds_to_success,
    spread,
)
from tests.chaos.report.journal import Entry
from tests.chaos.report.ledger import Findings, Ledger, ledger_of
from tests.chaos.report.unexpected_errors import unexpected_errors
from tests.chaos.sources import Source, result_of, source

OK = Source(label="one", kind="ok", content=b"chaos source\nkind=ok\n")
CRASH = Source(label="two", kind="crash", content=b"chaos source\nkind=crash\n")

PICTURE = b"a webp"
EMPTY: dict[str, Any] = {"outputs": {}, "completions": {}, "journal": ()}


def account_of(given: Source = OK, **fields: Any) -> Account:
    return Account(source=given, **{"conversion_id": "c1", **fields})


def record_of(given: Source = OK, **fields: Any) -> Conversion:
    sha256 = hashlib.sha256(result_of(given.content)).hexdigest()
    output = Output(
        key="t/o/out/c1/1/result.json", filename="x", content_type="x", size_bytes=1, sha256=sha256, sha512=""
    )
    made: dict[str, Any] = {"status": Status.COMPLETED, "token": 1, "outputs": (output,)}
    whole = {"owner": "o", "file_id": "f", "target_format": "json", "created_at": 0, "updated_at": 0}
    return Conversion(**{"id": "c1", "client_id": given.label, **whole, **made, **fields})


def counted(accounts: list[Account], records: list[Conversion], **fields: Any) -> Ledger:
    by_label: dict[str, list[Conversion]] = {}
    for record in records:
        by_label.setdefault(record.client_id or "", []).append(record)
    contents = {account.conversion_id: result_of(account.source.content) for account in accounts}
    outputs = {record.id: [contents.get(record.id)] for record in records if record.outputs}
    findings = Findings(records=by_label, outputs=outputs, completions={}, journal=())
    return ledger_of(accounts, msgspec.structs.replace(findings, **fields))


def test_flawless_run_is_clean() -> None:
    failed = record_of(CRASH, id="c2", status=Status.FAILED, error_code="engine_crashed", outputs=())
    ledger = counted([account_of(), account_of(CRASH, conversion_id="c2")], [record_of(), failed])

    assert ledger.is_clean
    assert (ledger.attempted, ledger.accepted, ledger.completed, ledger.failed_as_expected) == (2, 2, 1, 1)


def test_output_with_another_hash_than_its_record_is_doubled() -> None:
    record = record_of()
    other = msgspec.structs.replace(record.outputs[0], sha256="0" * 64)
    ledger = counted([account_of()], [msgspec.structs.replace(record, outputs=(other,))])

    assert ledger.doubled == ("one has an output with another sha256 than its record",)


def test_record_with_the_hash_of_another_source_is_doubled() -> None:
    ledger = counted([account_of()], [record_of(source_sha256="0" * 64)])

    assert ledger.doubled == ("one has a record with the sha256 of another source",)


@pytest.mark.parametrize("output", [PICTURE[:-1], PICTURE[:-1] + b"x", b""])
def test_picture_with_other_bytes_is_doubled(output: bytes) -> None:
    given = Source(label="three", kind="picture", content=b"a png")
    pictures = {hashlib.sha256(given.content).hexdigest(): PICTURE}
    right = msgspec.structs.replace(record_of().outputs[0], sha256=hashlib.sha256(PICTURE).hexdigest())
    record = record_of(given, outputs=(right,))

    assert counted([account_of(given)], [record], pictures=pictures, outputs={"c1": [PICTURE]}).is_clean
    assert len(counted([account_of(given)], [record], pictures=pictures, outputs={"c1": [output]}).doubled) == 1
    assert len(counted([account_of(given)], [record], pictures={}, outputs={"c1": [PICTURE]}).doubled) == 1


def test_deleted_conversion_may_be_gone() -> None:
    ledger = counted([account_of(is_deleted=True, is_deletion_confirmed=True)], [])

    assert (ledger.is_clean, ledger.deleted) == (True, 1)


def test_confirmed_deletion_of_what_remains_is_told_falsely() -> None:
    ledger = counted([account_of(is_deleted=True, is_deletion_confirmed=True)], [record_of()])

    assert "was told that c1 is deleted" in ledger.told_falsely[0]
    assert not ledger.is_clean
    assert counted([account_of(is_deleted=True)], [record_of()]).is_clean


def test_false_answer_to_a_client_counts() -> None:
    ledger = counted([account_of(false_answers=["progress went back"])], [record_of()])

    assert ledger.told_falsely == ("one progress went back",)
    assert not ledger.is_clean


def test_attacked_output_may_be_lost_but_not_fail_otherwise() -> None:
    lost = record_of(status=Status.FAILED, error_code="result_lost", outputs=())
    other = record_of(status=Status.FAILED, error_code="engine_crashed", outputs=())

    assert counted([account_of(attacks=1)], [lost]).is_clean
    assert counted([account_of(attacks=1)], [record_of()], outputs={"c1": [b"replaced"]}).is_clean
    assert len(counted([account_of(attacks=1)], [other]).wrongly_failed) == 1
    assert len(counted([account_of()], [lost]).wrongly_failed) == 1


def test_killed_run_leaves_unfinished_ones_instead_of_stuck() -> None:
    findings = Findings(records={"one": [record_of(status=Status.PENDING, outputs=())]}, **EMPTY)
    ledger = ledger_of([account_of(), account_of(CRASH, conversion_id=None)], findings, is_drained=False)

    assert (len(ledger.unfinished), ledger.stuck, ledger.is_clean) == (2, (), True)


def test_accepted_request_without_a_record_is_lost() -> None:
    assert counted([account_of()], []).lost == ("one",)


@pytest.mark.parametrize("status", [Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING])
def test_conversion_that_has_not_ended_is_stuck(status: Status) -> None:
    ledger = counted([account_of()], [record_of(status=status, outputs=())])

    assert len(ledger.stuck) == 1
    assert ledger.wrongly_failed == ()


def test_client_that_was_never_accepted_is_stuck() -> None:
    ledger = counted([account_of(conversion_id=None)], [])

    assert (ledger.accepted, len(ledger.stuck), ledger.is_clean) == (0, 1, False)


def test_request_with_two_records_is_doubled() -> None:
    other = record_of(id="c9", status=Status.AWAITING_UPLOAD, outputs=())

    assert counted([account_of()], [record_of(), other]).doubled == ("one has 2 records",)


def test_completion_under_two_tokens_is_doubled() -> None:
    ledger = counted([account_of()], [record_of()], completions={"c1": frozenset({1, 2})})

    assert ledger.doubled == ("one completed under tokens [1, 2]",)


def test_outputs_of_a_fenced_run_are_doubled() -> None:
    assert "tokens [1]" in counted([account_of()], [record_of(token=2)]).doubled[0]


@pytest.mark.parametrize("output", [None, b"", result_of(b"chaos source\nof somebody else")])
def test_output_of_another_source_is_doubled(output: bytes | None) -> None:
    ledger = counted([account_of()], [record_of()], outputs={"c1": [output]})

    assert ledger.doubled == ("one has an output that is not what its source gives",)


@pytest.mark.parametrize(
    ("given", "ending"),
    [
        (OK, {"status": Status.FAILED, "error_code": "engine_timeout"}),
        (OK, {"status": Status.CANCELLED}),
        (OK, {"status": Status.EXPIRED}),
        (CRASH, {"status": Status.FAILED, "error_code": "worker_lost"}),
        (CRASH, {"status": Status.COMPLETED}),
    ],
)
def test_ending_that_the_source_does_not_allow_is_wrong(given: Source, ending: Any) -> None:
    ledger = counted([account_of(given)], [record_of(given, outputs=(), **ending)])

    assert len(ledger.wrongly_failed) == 1
    assert not ledger.is_clean


def test_cancelled_conversion_may_complete_or_be_cancelled() -> None:
    given = msgspec.structs.replace(OK, is_cancelled=True)
    cancelled = record_of(status=Status.CANCELLED, outputs=())

    assert counted([account_of(given)], [cancelled]).is_clean
    assert counted([account_of(given)], [record_of()]).is_clean


def test_executions_count_only_conversions_that_need_one() -> None:
    journal = [Entry(1.0, 1, "started", f"{run}", "") for run in ("c1-1", "c1-2", "c2-1", "c2-2", "c2-3")]
    failed = record_of(CRASH, id="c2", status=Status.FAILED, error_code="engine_crashed", outputs=())
    accounts = [account_of(), account_of(CRASH, conversion_id="c2")]
    ledger = counted(accounts, [record_of(), failed], journal=journal)

    assert (ledger.executions, ledger.executed, ledger.executions_each) == (2, 1, 2.0)


def test_recovery_lasts_until_the_next_claim() -> None:
    journal = [
        Entry(1.0, 7, "claimed", "c1-1", ""),
        Entry(2.0, 7, "claimed", "c2-1", ""),
        Entry(2.5, 7, "ended", "c2-1", ""),
        Entry(3.0, 8, "claimed", "c3-1", ""),
        Entry(9.0, 9, "claimed", "c1-2", ""),
        Entry(9.5, 9, "claimed", "c2-2", ""),
        Entry(10.0, 9, "crashed", "c1-2", "uploading"),
        Entry(17.0, 8, "claimed", "c1-3", ""),
    ]

    assert recoveries(journal, [Interruption(3.5, 7)]) == [5.5, 7.0]


def test_recovery_counts_from_the_end_of_an_outage() -> None:
    journal = [Entry(1.0, 7, "claimed", "c1-1", ""), Entry(20.0, 9, "claimed", "c1-2", "")]
    outages = [Outage("broker", "refused", 4.0, 9.0), Outage("database", "refused", 8.0, 10.0)]

    assert recoveries(journal, [Interruption(5.0, 7)], outages) == [10.0]


def test_recovery_counts_from_the_start_of_new_reapers() -> None:
    """Those that were killed have seen the beats; new ones have to watch for a whole lease."""
    journal = [Entry(1.0, 7, "claimed", "c1-1", ""), Entry(20.0, 9, "claimed", "c1-2", "")]
    one = Injected(at_s=8.0, took_s=0.0, name="housekeeping: kill -9", met=1, how="sweep")
    every = Injected(at_s=7.0, took_s=0.0, name="api and housekeeping: kill -9 of all", met=1, how="request")

    assert net_recoveries([Interruption(5.0, 7), one], journal) == [15.0]
    assert net_recoveries([Interruption(5.0, 7), one, every], journal) == [20.0 - 7.0 - FILE_SERVICE_STARTS_S]


def test_first_success_after_an_outage_counts() -> None:
    outage = Outage("broker", "refused", 1.0, 5.0)
    well = frozenset({"broker"})
    probes = [
        Probe("a", 4.0, 0.1, 200, well),
        Probe("a", 5.1, 0.1, 200, frozenset()),
        Probe("b", 5.2, 0.3, 200, well),
        Probe("a", 6.0, 0.1, 200, well),
    ]

    next_one = Outage("broker", "kill -9", 5.3, 5.4)

    assert seconds_to_success([outage], probes) == {"broker": [(0.5, "refused")]}
    assert [fault for _, fault in seconds_to_success([outage, next_one], probes)["broker"]] == ["kill -9"]


@pytest.mark.parametrize(("at_s", "is_measured"), [(0.5, True), (0.9, True), (1.5, False), (5.2, False), (6.1, True)])
def test_success_is_not_measured_over_a_restart(at_s: float, *, is_measured: bool) -> None:
    """Both file services were killed 0.7 s after the broker was back; the new ones answered three seconds later."""
    outage = Outage("broker", "kill -9", 1.0, 5.0)
    probes = [Probe("a", 5.8, 0.2, 200, frozenset({"broker"}))]
    restart = Injected(at_s=at_s, took_s=0.0, name="api and housekeeping: kill -9 of all", met=1, how="request")

    assert bool(seconds_to_success([outage], probes, [restart])) is is_measured


def test_recovery_does_not_count_the_wait_for_the_object_store() -> None:
    journal = [Entry(1.0, 7, "claimed", "c1-1", ""), Entry(20.0, 9, "claimed", "c1-2", "")]
    outages = [Outage("object_store", "slow", 3.0, 6.0), Outage("object_store", "black hole", 15.0, 19.0)]

    assert net_recoveries([Interruption(5.0, 7), *outages], journal) == [10.0]


def test_spread_uses_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]

    assert msgspec.structs.astuple(spread(values)) == (100, 50.0, 99.0, 100.0)
    assert spread([]).count == 0


def test_only_unexpected_errors_are_counted(tmp_path: Path) -> None:
    (tmp_path / "api-1.log").write_text(
        '{"event":"slot.broker_away","level":"warning"}\n{"event":"job.broken","exception":"Traceback"}\n'
        'Traceback (most recent call last):\n{"event":"half of a li'
    )

    assert unexpected_errors(tmp_path) == {"job.broken": 1, "traceback": 1}


def test_sources_are_repeatable_with_one_early_poison() -> None:
    kinds = [source(7, number).kind for number in range(300)]

    assert [source(7, number) for number in range(50)] == [source(7, number) for number in range(50)]
    assert kinds.count("poison") == 1
    assert {"ok", "picture", "crash", "daemon"} <= set(kinds)
