"""The dry run (behaviour I10) lists exactly what a round removes and changes nothing; concurrent rounds."""

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
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, OWNER, SETTINGS, MemoryServers

Known = set[tuple[str, str]]


@pytest.fixture
async def servers() -> MemoryServers:
    """One of every kind that is removed and one that stays, forty days later."""
    one = MemoryServers(Settings(**{**SETTINGS.model_dump(exclude_unset=True), "source_retention_s": 20 * DAY_S}))
    await fill(one, is_old=True)
    one.passed_s += 40 * DAY_S
    await fill(one, is_old=False)
    deleted = await one.add_file(FileStatus.DELETED, updated_at=one.now_ms() - int(2 * DAY_S * 1000))
    await one.add_completed(file_id=deleted.id)
    return one


async def fill(servers: MemoryServers, *, is_old: bool) -> None:
    now, expired_at = servers.now_ms(), servers.now_ms() - int(9 * DAY_S * 1000)
    result = await servers.add_completed()
    await servers.add_output(result, token=1)
    for status in (Status.FAILED, Status.CANCELLED):
        record = await servers.add(status, token=1, completed_at=now)
        await servers.add_output(record)
    await servers.add(Status.EXPIRED, completed_at=now, error_code="upload_abandoned")
    await servers.add(Status.EXPIRED, completed_at=expired_at, updated_at=now)
    waiting = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    await servers.add(Status.AWAITING_UPLOAD, file_id=waiting.id)
    key = source_key(OWNER, waiting.id, 1)
    upload_id = await servers.objects.start_multipart(key, content_type="a/b")
    await servers.stores.files.update(
        waiting.id, version=1, expected={FileStatus.AWAITING_UPLOAD}, assign={"upload_id": upload_id}
    )
    await servers.add_file(FileStatus.DELETED)
    unused = await servers.add_file(FileStatus.UPLOADED)
    await servers.objects.put(unused.key, b"abc", content_type="a/b")
    await servers.objects.start_multipart(source_key(OWNER, new_id(), 1), content_type="a/b")
    await servers.objects.put(f"t/{OWNER}/out/{new_id()}/1/lost.pdf", b"lost", content_type="a/b")
    name = "old" if is_old else "young"
    answer = RememberedAnswer(id=f"{OWNER}:{name}", body_sha256="0", claimed_at=now, expires_at=now + 9)
    await servers.stores.access.claim_answer(answer, stale_before_ms=0)
    servers.stores.history.record(entry_of(result))
    await servers.stores.cache.lead(CacheEntry(id=name, conversion_id=result.id, token=1, owner=OWNER, created_at=now))
    await servers.stores.workers.put(
        Worker(id=name, host="h", pid=1, started_at=now, seen_at=now, slots=1, sandbox="off", offers=())
    )


def stored_in(servers: MemoryServers) -> dict[str, Any]:
    """Return everything stored."""
    stores = servers.stores
    return copy.deepcopy(
        {
            "conversion": stores.conversions._conversions._documents,
            "file": stores.files._files._documents,
            "answer": stores.access._answers._documents,
            "cache_entry": stores.cache._entries._documents,
            "history": stores.history._entries._documents,
            "worker": stores.workers._workers._documents,
            "object": servers.objects._objects,
            "multipart_upload": servers.objects._uploads,
        }
    )


def removed_between(before: dict[str, Any], after: dict[str, Any]) -> Known:
    """Return what was removed or has ended, by kind and id."""
    lost = {(kind, key) for kind, known in before.items() for key in known if key not in after[kind]}
    for conversion_id, record in after["conversion"].items():
        was = before["conversion"][conversion_id]["status"]
        if record["status"] != was:
            lost.add(("results" if was == "completed" else "conversion", conversion_id))
    deleted = {key for key, file in after["file"].items() if file["status"] != before["file"][key]["status"]}
    return lost | {("file", key) for key in deleted}


async def listed(servers: MemoryServers, *only: str) -> tuple[list[dict[str, Any]], Total]:
    lines: list[str] = []
    chosen = [sweep for sweep in servers.sweeps.all if not only or sweep.name in only]
    total = await DryRun(lines.append, is_json=True, now_ms=servers.now_ms()).report(chosen)
    return [json.loads(line) for line in lines], total


async def test_dry_run_when_it_has_told_then_nothing_has_changed(servers: MemoryServers) -> None:
    """I10: a dry run lists what would be removed and changes nothing."""
    before = stored_in(servers)
    lines, total = await listed(servers)

    assert stored_in(servers) == before
    assert KEY not in before["object"]
    assert total.records > 10 and total.objects > 5
    assert {line["sweep"] for line in lines[:-1]} == set(servers.sweeps.retention)


async def test_round_removes_exactly_what_the_dry_run_listed(servers: MemoryServers) -> None:
    """I10: the list is exact; young and unfinished records stay."""
    before = stored_in(servers)
    (*lines, last), total = await listed(servers)
    await servers.sweeps.run_once()
    after = stored_in(servers)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines} == removed_between(before, after)
    assert len(lines) == total.records + total.objects == len(removed_between(before, after))
    assert last == {"total": msgspec.to_builtins(total)}
    freed = sum(len(one.body) for key, one in before["object"].items() if key not in after["object"])
    assert total.size_bytes == freed


async def test_second_round_has_nothing_to_do(servers: MemoryServers) -> None:
    await servers.sweeps.run_once()
    lines, total = await listed(servers)
    done = await servers.sweeps.run_once()

    assert total == Total(0, 0, 0)
    assert len(lines) == 1
    assert {name for name, count in done.items() if count} == set()


async def test_five_concurrent_rounds_remove_each_record_once(servers: MemoryServers) -> None:
    """I10: safe with several processes; nothing is done twice."""
    before = stored_in(servers)
    lines, _ = await listed(servers)
    async with servers.bus.subscribe() as events:
        rounds = await asyncio.gather(
            *(process.run_once() for process in (servers.another_process() for _ in range(5)))
        )
        received = [await anext(aiter(events)) for _ in range(sum(line.get("kind") == "results" for line in lines) + 1)]
    after = stored_in(servers)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines[:-1]} == removed_between(before, after)
    by_condition = ("uploads", "sources", "results", "deleted_outputs", "failures", "records", "files")
    alone = {name: sum(done[name] for done in rounds) for name in by_condition}

    assert alone == {
        "uploads": 2, "sources": 1, "results": 1, "deleted_outputs": 1, "failures": 3, "records": 1, "files": 1
    }  # fmt: skip
    assert len({event.id for event in received}) == len(received)


async def test_another_round_finishes_after_one_is_killed(servers: MemoryServers) -> None:
    before = stored_in(servers)
    lines, _ = await listed(servers)
    killed = servers.another_process()
    task = asyncio.create_task(killed.run_once())
    for _ in range(40):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert removed_between(before, stored_in(servers))
    await servers.sweeps.run_once()
    after = stored_in(servers)
    del after["object"][KEY]

    assert {(line["kind"], line["id"]) for line in lines[:-1]} == removed_between(before, after)


async def test_dry_run_lists_only_the_named_sweeps(servers: MemoryServers) -> None:
    lines, _ = await listed(servers, "failures", "reaper")

    assert {line["sweep"] for line in lines[:-1]} == {"failures"}
    assert {line["kind"] for line in lines[:-1]} == {"conversion", "object"}


async def test_text_lines_show_kind_age_size_and_reason(servers: MemoryServers) -> None:
    lines: list[str] = []
    chosen = [sweep for sweep in servers.sweeps.all if sweep.name in ("failures", "orphans")]
    total = await DryRun(lines.append, is_json=False, now_ms=servers.now_ms()).report(chosen)
    text = "".join(lines)

    assert "failures         conversion          40.0 d          -  0" in text
    assert "(failed more than 7 days ago)" in text
    assert "(its conversion does not exist)" in text
    assert lines[-1] == (
        f"{total.records} records and {total.objects} objects ({total.size_bytes} B) would be removed. "
        "This was a dry run: nothing was changed.\n"
    )


async def test_dry_run_when_nothing_would_go_then_it_says_so() -> None:
    servers, lines = MemoryServers(), list[str]()
    await DryRun(lines.append, is_json=False, now_ms=servers.now_ms()).report(servers.sweeps.all)

    assert lines == ["Nothing would be removed.\n"]


async def test_dry_run_without_database_raises(servers: MemoryServers) -> None:
    servers.stores.is_away = True
    with pytest.raises(StoreUnavailable):
        await listed(servers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--json"], "--json requires --dry-run"), (["--never-received-of"], "unrecognized arguments")],
)
def test_entry_when_an_option_is_wrong_then_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_invalid_setting_is_named_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVERTO_ORPHAN_AGE_S", "60")

    assert main(["--dry-run"]) == 2
    assert "CONVERTO_ORPHAN_AGE_S (60) must be longer" in capsys.readouterr().err
