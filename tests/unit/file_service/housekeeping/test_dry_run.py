"""The dry run (behaviour I10): it tells exactly what a round then takes, changes nothing; several at once."""

import asyncio
import copy
import json
from typing import Any

import msgspec
import pytest

from converto_core.access import RememberedAnswer
from converto_core.catalogue import Worker
from converto_core.conversion.cache_key import CacheEntry
from converto_core.conversion.history import entry_of
from converto_core.conversion.record import Status
from converto_core.errors import StoreUnavailable
from converto_core.files.record import FileStatus
from converto_core.ids import new_id
from converto_core.object_keys import source_key
from converto_infra.settings import Settings
from file_service.housekeeping.__main__ import main
from file_service.housekeeping.dry_run import DryRun, Total
from file_service.housekeeping.retention.bucket_mark import KEY
from tests.unit.file_service.housekeeping.yard import DAY_S, OWNER, SETTINGS, Yard

Known = set[tuple[str, str]]


@pytest.fixture
async def yard() -> Yard:
    """One of everything that may go, and one of everything that may not, forty days later."""
    one = Yard(Settings(**{**SETTINGS.model_dump(exclude_unset=True), "source_retention_s": 20 * DAY_S}))
    await grow(one, is_old=True)
    one.passed_s += 40 * DAY_S
    await grow(one, is_old=False)
    deleted = await one.add_file(FileStatus.DELETED, updated_at=one.now_ms() - int(2 * DAY_S * 1000))
    await one.add_completed(file_id=deleted.id)
    return one


async def grow(yard: Yard, *, is_old: bool) -> None:
    now, expired_at = yard.now_ms(), yard.now_ms() - int(9 * DAY_S * 1000)
    result = await yard.add_completed()
    await yard.add_output(result, token=1)
    for status in (Status.FAILED, Status.CANCELLED):
        record = await yard.add(status, token=1, completed_at=now)
        await yard.add_output(record)
    await yard.add(Status.EXPIRED, completed_at=now, error_code="upload_abandoned")
    await yard.add(Status.EXPIRED, completed_at=expired_at, updated_at=now)
    waiting = await yard.add_file(FileStatus.AWAITING_UPLOAD)
    await yard.add(Status.AWAITING_UPLOAD, file_id=waiting.id)
    key = source_key(OWNER, waiting.id, 1)
    upload_id = await yard.objects.start_multipart(key, content_type="a/b")
    await yard.stores.files.update(
        waiting.id, version=1, expected={FileStatus.AWAITING_UPLOAD}, assign={"upload_id": upload_id}
    )
    await yard.add_file(FileStatus.DELETED)
    unused = await yard.add_file(FileStatus.UPLOADED)
    await yard.objects.put(unused.key, b"abc", content_type="a/b")
    await yard.objects.start_multipart(source_key(OWNER, new_id(), 1), content_type="a/b")
    await yard.objects.put(f"t/{OWNER}/out/{new_id()}/1/lost.pdf", b"lost", content_type="a/b")
    name = "old" if is_old else "young"
    answer = RememberedAnswer(id=f"{OWNER}:{name}", body_sha256="0", claimed_at=now, expires_at=now + 9)
    await yard.stores.access.claim_answer(answer, stale_before_ms=0)
    yard.stores.history.record(entry_of(result))
    await yard.stores.cache.lead(CacheEntry(id=name, conversion_id=result.id, token=1, owner=OWNER, created_at=now))
    await yard.stores.workers.put(
        Worker(id=name, host="h", pid=1, started_at=now, seen_at=now, slots=1, sandbox="off", offers=())
    )


def held(yard: Yard) -> dict[str, Any]:
    """All that the twins hold."""
    stores = yard.stores
    return copy.deepcopy(
        {
            "conversion": stores.conversions._conversions._documents,
            "file": stores.files._files._documents,
            "answer": stores.access._answers._documents,
            "cache_entry": stores.cache._entries._documents,
            "history": stores.history._entries._documents,
            "worker": stores.workers._workers._documents,
            "object": yard.objects._objects,
            "multipart_upload": yard.objects._uploads,
        }
    )


def gone(before: dict[str, Any], after: dict[str, Any]) -> Known:
    """What is not there any more, or has ended: by kind and id."""
    lost = {(kind, key) for kind, known in before.items() for key in known if key not in after[kind]}
    for conversion_id, record in after["conversion"].items():
        was = before["conversion"][conversion_id]["status"]
        if record["status"] != was:
            lost.add(("results" if was == "completed" else "conversion", conversion_id))
    deleted = {key for key, file in after["file"].items() if file["status"] != before["file"][key]["status"]}
    return lost | {("file", key) for key in deleted}


async def told(yard: Yard, *only: str) -> tuple[list[dict[str, Any]], Total]:
    lines: list[str] = []
    chosen = [sweep for sweep in yard.sweeps.all if not only or sweep.name in only]
    total = await DryRun(lines.append, is_json=True, now_ms=yard.now_ms()).tell(chosen)
    return [json.loads(line) for line in lines], total


async def test_dry_run_when_it_has_told_then_nothing_has_changed(yard: Yard) -> None:
    """I10: a dry run lists what would go and changes nothing."""
    before = held(yard)
    lines, total = await told(yard)

    assert held(yard) == before
    assert KEY not in before["object"]
    assert total.records > 10 and total.objects > 5
    assert {line["sweep"] for line in lines[:-1]} == set(yard.sweeps.retention)


async def test_dry_run_when_a_round_follows_then_exactly_what_was_told_has_gone(yard: Yard) -> None:
    """I10: the list is the truth, thing by thing; what is young or alive is still there."""
    before = held(yard)
    (*lines, last), total = await told(yard)
    await yard.sweeps.once()
    after = held(yard)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines} == gone(before, after)
    assert len(lines) == total.records + total.objects == len(gone(before, after))
    assert last == {"total": msgspec.to_builtins(total)}
    freed = sum(len(one.body) for key, one in before["object"].items() if key not in after["object"])
    assert total.size_bytes == freed


async def test_dry_run_when_everything_has_gone_then_a_second_round_has_nothing_to_do(yard: Yard) -> None:
    await yard.sweeps.once()
    lines, total = await told(yard)
    done = await yard.sweeps.once()

    assert total == Total(0, 0, 0)
    assert len(lines) == 1
    assert {name for name, count in done.items() if count} == set()


async def test_rounds_when_five_processes_run_at_once_then_each_record_goes_once(yard: Yard) -> None:
    """I10: safe with several instances; nothing is done twice and nothing breaks."""
    before = held(yard)
    lines, _ = await told(yard)
    async with yard.bus.subscribe() as facts:
        rounds = await asyncio.gather(*(process.once() for process in (yard.another_process() for _ in range(5))))
        heard = [await anext(aiter(facts)) for _ in range(sum(line.get("kind") == "results" for line in lines) + 1)]
    after = held(yard)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines[:-1]} == gone(before, after)
    by_condition = ("uploads", "sources", "results", "deleted_outputs", "failures", "records", "files")
    alone = {name: sum(done[name] for done in rounds) for name in by_condition}

    assert alone == {
        "uploads": 2, "sources": 1, "results": 1, "deleted_outputs": 1, "failures": 3, "records": 1, "files": 1
    }  # fmt: skip
    assert len({fact.id for fact in heard}) == len(heard)


async def test_rounds_when_one_is_killed_in_the_middle_then_another_ends_the_work(yard: Yard) -> None:
    before = held(yard)
    lines, _ = await told(yard)
    killed = yard.another_process()
    task = asyncio.create_task(killed.once())
    for _ in range(40):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gone(before, held(yard))
    await yard.sweeps.once()
    after = held(yard)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines[:-1]} == gone(before, after)


async def test_dry_run_when_only_some_are_named_then_only_these_are_told(yard: Yard) -> None:
    lines, _ = await told(yard, "failures", "reaper")

    assert {line["sweep"] for line in lines[:-1]} == {"failures"}
    assert {line["kind"] for line in lines[:-1]} == {"conversion", "object"}


async def test_dry_run_when_read_by_a_person_then_lines_say_kind_age_size_and_reason(yard: Yard) -> None:
    lines: list[str] = []
    chosen = [sweep for sweep in yard.sweeps.all if sweep.name in ("failures", "orphans")]
    total = await DryRun(lines.append, is_json=False, now_ms=yard.now_ms()).tell(chosen)
    text = "".join(lines)

    assert "failures         conversion          40.0 d          -  0" in text
    assert "(failed more than 7 days ago)" in text
    assert "(there is no such conversion)" in text
    assert lines[-1] == f"Would go: {total.records} records, {total.objects} objects, {total.size_bytes} B. " + (
        "Nothing was changed.\n"
    )


async def test_dry_run_when_nothing_would_go_then_it_says_so() -> None:
    yard, lines = Yard(), list[str]()
    await DryRun(lines.append, is_json=False, now_ms=yard.now_ms()).tell(yard.sweeps.all)

    assert lines == ["Nothing would go.\n"]


async def test_dry_run_when_the_database_is_away_then_it_does_not_claim_to_be_complete(yard: Yard) -> None:
    yard.stores.is_away = True
    with pytest.raises(StoreUnavailable):
        await told(yard)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--json"], "--json goes with --dry-run"), (["--never-heard-of"], "unrecognized arguments")],
)
def test_entry_when_an_option_is_wrong_then_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_entry_when_a_setting_is_wrong_then_status_2_and_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVERTO_ORPHAN_AGE_S", "60")

    assert main(["--dry-run"]) == 2
    assert "CONVERTO_ORPHAN_AGE_S (60) must be longer" in capsys.readouterr().err
