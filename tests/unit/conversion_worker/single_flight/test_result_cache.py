"""The same content with the same request runs once (I8): when a result is reused, and when it is not."""

from typing import Any

import pytest

from converto_core.conversion.record import Appended, Lane, Status
from converto_core.errors import CorruptSource
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_core.object_keys import source_key
from tests.unit.conversion_worker.fakes import FakeConverter, Gate, failing_with, make_upper_case
from tests.unit.conversion_worker.harness import OWNER, Harness
from tests.unit.conversion_worker.single_flight.requests import body_of, ended
from tests.unit.fake_clock import until


@pytest.mark.parametrize("is_slow", [True, False], ids=["while it runs", "as fast as it goes"])
async def test_hundred_identical_requests_cause_one_engine_run(harness: Harness, is_slow: bool) -> None:
    """I8: a hundred identical requests cause one conversion; each has its own file, under its own name."""
    gate = Gate()
    harness.converter.behaviour = gate if is_slow else make_upper_case
    for _ in range(4):
        await harness.start_slot()
    records = [await harness.request(filename=f"notes {number}.txt") for number in range(100)]
    if is_slow:
        await until(lambda: harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)
        gate.open.set()
    done = await ended(harness, *records)

    assert len(harness.converter.jobs) == 1
    assert {one.status for one in done} == {Status.COMPLETED}
    assert sum(one.cached_from is None for one in done) == 1
    assert [one.outputs[0].filename for one in done] == [f"notes {number}.pdf" for number in range(100)]
    assert len({one.outputs[0].key for one in done}) == 100
    assert {await body_of(harness, one) for one in done} == {b"WORDS\n"}
    assert {(one.attempt, one.lost, len(one.errors)) for one in done} == {(1, 0, 0)}
    assert {tuple(one.engine_versions.items()) for one in done} == {(("fake", "1.0"),)}


async def test_second_request_gets_an_independent_copy(harness: Harness) -> None:
    """I8: also across files; deleting one of the two never breaks the other."""
    await harness.start_slot()
    (first,) = await ended(harness, await harness.request())
    (second,) = await ended(harness, await harness.request(filename="report.txt"))
    await harness.objects.delete([first.outputs[0].key])

    assert (first.cached_from, second.cached_from) == (None, first.id)
    assert second.outputs[0].filename == "report.pdf"
    assert second.outputs[0].sha256 == first.outputs[0].sha256
    assert await body_of(harness, second) == b"WORDS\n"
    assert len(harness.converter.jobs) == 1


@pytest.mark.parametrize(
    "fields",
    [{"options": {"times": 2}}, {"content": b"other words\n"}, {"fresh": True}],
    ids=str,
)
async def test_different_or_fresh_request_runs_the_engine(harness: Harness, fields: dict[str, Any]) -> None:
    await harness.start_slot()
    await ended(harness, await harness.request())
    (second,) = await ended(harness, await harness.request(**fields))

    assert second.cached_from is None
    assert len(harness.converter.jobs) == 2


async def test_new_engine_version_runs_the_engine(harness: Harness) -> None:
    class Newer(FakeConverter):
        async def version(self) -> str | None:
            return "1.1"

    await harness.start_slot()
    await ended(harness, await harness.request())
    harness.tasks[-1].cancel()
    newer = Newer(make_upper_case)
    await harness.start_slot(newer)
    (second,) = await ended(harness, await harness.request())

    assert (second.cached_from, second.engine_versions) == (None, {"fake": "1.1"})
    assert len(newer.jobs) == 1


async def test_fresh_result_serves_later_requests(harness: Harness) -> None:
    await harness.start_slot()
    first, fresh = [(await ended(harness, await harness.request(fresh=flag)))[0] for flag in (False, True)]
    (third,) = await ended(harness, await harness.request())

    assert first.id != fresh.id
    assert third.cached_from == fresh.id


async def test_joined_files_are_part_of_the_key(harness: Harness) -> None:
    converter = FakeConverter(make_upper_case, joins=True)
    await harness.start_slot(converter)
    two, same, other = [await harness.upload(content) for content in (b"two", b"two", b"other")]
    done = [
        (await ended(harness, await harness.request(appended=(Appended(file.id, 1),))))[0]
        for file in (two, same, other)
    ]

    assert [one.cached_from is None for one in done] == [True, False, True]


async def test_owners_do_not_share_by_default(harness: Harness) -> None:
    """I8: never across owners unless the setting allows it."""
    await harness.start_slot()
    await ended(harness, await harness.request())
    (theirs,) = await ended(harness, await harness.request(owner="berta"))

    assert theirs.cached_from is None
    assert len(harness.converter.jobs) == 2


async def test_owners_share_when_the_setting_allows_it(harness: Harness) -> None:
    harness.settings = harness.settings.model_copy(update={"cache_across_owners": True})
    await harness.start_slot()
    (mine,) = await ended(harness, await harness.request())
    (theirs,) = await ended(harness, await harness.request(owner="berta"))

    assert theirs.cached_from == mine.id
    assert theirs.outputs[0].key.startswith("t/berta/out/")
    assert len(harness.converter.jobs) == 1


async def test_disabled_cache_runs_every_request(harness: Harness) -> None:
    harness.settings = harness.settings.model_copy(update={"cache": False})
    await harness.start_slot()
    done = [(await ended(harness, await harness.request()))[0] for _ in range(2)]

    assert [one.cached_from for one in done] == [None, None]
    assert [one.cache_key for one in done] == [None, None]


async def test_new_file_version_never_gets_the_old_result(
    harness: Harness,
) -> None:
    """I7, I8: keys are made from the bytes of one version; the old version keeps its own result."""
    await harness.start_slot()
    (old,) = await ended(harness, await harness.request(b"old deck"))
    changed = {"version": 2, "key": source_key(OWNER, old.file_id, 2), "size_bytes": 8, "sha256": None, "sha512": None}
    await harness.objects.put(changed["key"], b"new deck", content_type="text/plain")
    await harness.stores.files.update(old.file_id, version=1, expected={FileStatus.UPLOADED}, assign=changed)

    (new,) = await ended(harness, await harness.request(file_id=old.file_id, file_version=2))
    (old_again,) = await ended(harness, await harness.request(file_id=old.file_id, file_version=1))

    assert (await body_of(harness, new), new.cached_from) == (b"NEW DECK", None)
    assert (await body_of(harness, old_again), old_again.cached_from) == (b"OLD DECK", old.id)
    assert new.source_sha256 != old.source_sha256


async def test_request_after_a_failure_runs_the_engine_again(harness: Harness) -> None:
    harness.converter.behaviour = failing_with(CorruptSource())
    await harness.start_slot()
    await ended(harness, await harness.request())
    harness.converter.behaviour = make_upper_case
    (second,) = await ended(harness, await harness.request())

    assert (second.status, second.cached_from) == (Status.COMPLETED, None)


async def test_uncached_job_costs_one_cache_call(harness: Harness) -> None:
    calls: list[str] = []

    def count(store: Any, name: str) -> None:
        call = getattr(store, name)

        async def counted(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return await call(*arguments, **named)

        setattr(store, name, counted)

    for name in ("lead", "get", "take_over"):
        count(harness.stores.cache, name)
    count(harness.stores.conversions, "waiting_for")
    await harness.start_slot()
    await ended(harness, await harness.request())
    await until(lambda: not harness.running_jobs.running)

    assert calls == ["lead"]
