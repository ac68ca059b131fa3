"""The same content with the same request runs once (I8): lead, follow, wake, take over, and what can go wrong."""

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.typing import EventDict

from conversion_worker.single_flight.single_flight import FOLLOW_LONGEST_MS
from converto_core.conversion.processing import worker_lost
from converto_core.conversion.record import Appended, Conversion, Lane, Status, Step
from converto_core.conversion.transitions import cancel_waiting, expire_result, request_cancel, retry
from converto_core.errors import CorruptSource, EngineCrashed, ObjectStoreUnavailable, StoreUnavailable
from converto_core.events import conversion_created
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_core.object_keys import source_key
from converto_engines.converter import Job, Product
from file_service.delivery.outbox import Outbox
from tests.unit.conversion_worker.conftest import OWNER, House
from tests.unit.conversion_worker.fakes import Behaviour, FakeConverter, Gate, failing_with, make_upper_case, until

PLAN = (Step("fake", "txt", "pdf"),)


def outbox(house: House) -> Outbox:
    return Outbox(
        house.stores.conversions,
        house.bus,
        republish_after_s=60,
        republish_max_s=3600,
        monotonic=house.clock.monotonic,
        now_ms=house.clock.now_ms,
    )


async def ended(house: House, *records: Conversion) -> list[Conversion]:
    """The records when all of them have ended."""

    async def all_ended() -> bool:
        return all([(await house.look(record)).is_terminal for record in records])

    await until(all_ended, within_s=20)
    return [await house.look(record) for record in records]


async def following(house: House, record: Conversion) -> Conversion:
    """The record once it waits for another one and no slot holds it any more."""

    async def waits() -> bool:
        now = await house.look(record)
        return now.status is Status.PENDING and now.waits_for is not None and record.id not in house.board.running

    await until(waits)
    return await house.look(record)


async def body_of(house: House, record: Conversion) -> bytes:
    return await house.objects.read_range(record.outputs[0].key, start=0, length=999)


async def leading(house: House, behaviour: Behaviour = make_upper_case) -> tuple[Gate, Conversion]:
    """A conversion whose engine runs until the gate is opened, and then does this."""
    gate = Gate()

    async def held(job: Job) -> list[Product]:
        await gate(job)
        return await behaviour(job)

    house.converter.behaviour = held
    await house.open_slot()
    leader = await house.request()
    await gate.reached.wait()
    return gate, leader


@pytest.mark.parametrize("is_slow", [True, False], ids=["while it runs", "as fast as it goes"])
async def test_hundred_when_identical_and_at_once_then_one_engine_run_and_all_complete(
    house: House, is_slow: bool
) -> None:
    """I8: a hundred identical requests cause one conversion; each has its own file, under its own name."""
    gate = Gate()
    house.converter.behaviour = gate if is_slow else make_upper_case
    for _ in range(4):
        await house.open_slot()
    records = [await house.request(filename=f"notes {number}.txt") for number in range(100)]
    if is_slow:
        await until(lambda: house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)
        gate.open.set()
    done = await ended(house, *records)

    assert len(house.converter.jobs) == 1
    assert {one.status for one in done} == {Status.COMPLETED}
    assert sum(one.cached_from is None for one in done) == 1
    assert [one.outputs[0].filename for one in done] == [f"notes {number}.pdf" for number in range(100)]
    assert len({one.outputs[0].key for one in done}) == 100
    assert {await body_of(house, one) for one in done} == {b"WORDS\n"}
    assert {(one.attempt, one.lost, len(one.errors)) for one in done} == {(1, 0, 0)}
    assert {tuple(one.engine_versions.items()) for one in done} == {(("fake", "1.0"),)}


async def test_second_when_the_first_has_completed_then_a_copy_that_lives_apart(house: House) -> None:
    """I8: also across files; deleting one of the two never breaks the other."""
    await house.open_slot()
    (first,) = await ended(house, await house.request())
    (second,) = await ended(house, await house.request(filename="report.txt"))
    await house.objects.delete([first.outputs[0].key])

    assert (first.cached_from, second.cached_from) == (None, first.id)
    assert second.outputs[0].filename == "report.pdf"
    assert second.outputs[0].sha256 == first.outputs[0].sha256
    assert await body_of(house, second) == b"WORDS\n"
    assert len(house.converter.jobs) == 1


@pytest.mark.parametrize(
    "fields",
    [{"options": {"times": 2}}, {"content": b"other words\n"}, {"fresh": True}],
    ids=str,
)
async def test_second_when_something_differs_or_it_wants_a_fresh_one_then_the_engine_runs(
    house: House, fields: dict[str, Any]
) -> None:
    await house.open_slot()
    await ended(house, await house.request())
    (second,) = await ended(house, await house.request(**fields))

    assert second.cached_from is None
    assert len(house.converter.jobs) == 2


async def test_second_when_the_engine_has_another_version_then_it_runs(house: House) -> None:
    class Newer(FakeConverter):
        async def version(self) -> str | None:
            return "1.1"

    await house.open_slot()
    await ended(house, await house.request())
    house.tasks[-1].cancel()
    newer = Newer(make_upper_case)
    await house.open_slot(newer)
    (second,) = await ended(house, await house.request())

    assert (second.cached_from, second.engine_versions) == (None, {"fake": "1.1"})
    assert len(newer.jobs) == 1


async def test_fresh_one_when_made_then_later_ones_take_its_result(house: House) -> None:
    await house.open_slot()
    first, fresh = [(await ended(house, await house.request(fresh=flag)))[0] for flag in (False, True)]
    (third,) = await ended(house, await house.request())

    assert first.id != fresh.id
    assert third.cached_from == fresh.id


async def test_joined_files_when_one_of_them_differs_then_not_the_same(house: House) -> None:
    converter = FakeConverter(make_upper_case, joins=True)
    await house.open_slot(converter)
    two, same, other = [await house.upload(content) for content in (b"two", b"two", b"other")]
    done = [
        (await ended(house, await house.request(appended=(Appended(file.id, 1),))))[0] for file in (two, same, other)
    ]

    assert [one.cached_from is None for one in done] == [True, False, True]


async def test_owners_when_they_have_the_same_file_then_each_gets_a_run_of_its_own(house: House) -> None:
    """I8: never across owners unless the setting allows it."""
    await house.open_slot()
    await ended(house, await house.request())
    (theirs,) = await ended(house, await house.request(owner="berta"))

    assert theirs.cached_from is None
    assert len(house.converter.jobs) == 2


async def test_owners_when_the_setting_allows_it_then_they_share(house: House) -> None:
    house.settings = house.settings.model_copy(update={"cache_across_owners": True})
    await house.open_slot()
    (mine,) = await ended(house, await house.request())
    (theirs,) = await ended(house, await house.request(owner="berta"))

    assert theirs.cached_from == mine.id
    assert theirs.outputs[0].key.startswith("t/berta/out/")
    assert len(house.converter.jobs) == 1


async def test_cache_when_switched_off_then_every_request_runs(house: House) -> None:
    house.settings = house.settings.model_copy(update={"cache": False})
    await house.open_slot()
    done = [(await ended(house, await house.request()))[0] for _ in range(2)]

    assert [one.cached_from for one in done] == [None, None]
    assert [one.cache_key for one in done] == [None, None]


async def test_file_when_its_content_is_replaced_then_the_new_version_is_never_answered_by_the_old_result(
    house: House,
) -> None:
    """I7, I8: keys are made of the bytes of the very version; the old version still has its own result."""
    await house.open_slot()
    (old,) = await ended(house, await house.request(b"old deck"))
    changed = {"version": 2, "key": source_key(OWNER, old.file_id, 2), "size_bytes": 8, "sha256": None, "sha512": None}
    await house.objects.put(changed["key"], b"new deck", content_type="text/plain")
    await house.stores.files.update(old.file_id, version=1, expected={FileStatus.UPLOADED}, assign=changed)

    (new,) = await ended(house, await house.request(file_id=old.file_id, file_version=2))
    (old_again,) = await ended(house, await house.request(file_id=old.file_id, file_version=1))

    assert (await body_of(house, new), new.cached_from) == (b"NEW DECK", None)
    assert (await body_of(house, old_again), old_again.cached_from) == (b"OLD DECK", old.id)
    assert new.source_sha256 != old.source_sha256


async def test_follower_when_another_one_runs_then_its_slot_is_free_for_other_work(house: House) -> None:
    gate, leader = await leading(house)
    other = FakeConverter(make_upper_case)
    await house.open_slot(other)
    follower = await following(house, await house.request(lane=Lane.BULK))
    (unrelated,) = await ended(house, await house.request(b"unrelated"))
    gate.open.set()
    led, followed = await ended(house, leader, follower)

    assert (follower.attempt, follower.lost, follower.lane) == (0, 0, Lane.BULK)
    assert follower.stage == "waiting for the same conversion to end"
    assert unrelated.cached_from is None
    assert (led.cached_from, followed.cached_from) == (None, led.id)
    assert (len(house.converter.jobs), len(other.jobs)) == (1, 1)


async def test_follower_when_woken_then_its_source_is_not_fetched_again(house: House) -> None:
    gate, leader = await leading(house)
    await house.open_slot()
    follower = await following(house, await house.request())
    await house.objects.delete([source_key(OWNER, follower.file_id, 1)])
    gate.open.set()
    _, followed = await ended(house, leader, follower)

    assert (followed.status, await body_of(house, followed)) == (Status.COMPLETED, b"WORDS\n")


async def test_follower_when_the_file_is_at_fault_then_it_fails_alike_without_a_run(house: House) -> None:
    """I8, I13: a bad file is tried once, however many have sent it; a user's retry runs afresh."""
    gate, leader = await leading(house, failing_with(CorruptSource("The deck is damaged")))
    await house.open_slot()
    followers = [await following(house, await house.request()) for _ in range(3)]
    gate.open.set()
    done = await ended(house, leader, *followers)

    assert {(one.status, one.error_code) for one in done} == {(Status.FAILED, "source_corrupt")}
    assert {one.error_message for one in done} == {"The deck is damaged"}
    assert len(house.converter.jobs) == 1

    house.converter.behaviour = make_upper_case
    again = await house.stores.conversions.apply(
        retry(done[1], source_format="txt", plan=PLAN, family=Family.OFFICE, now_ms=house.clock.now_ms())
    )
    assert again is not None
    await house.bus.publish(conversion_created(again))
    (retried,) = await ended(house, again)
    assert (retried.status, retried.cached_from) == (Status.COMPLETED, None)


async def test_newcomer_when_the_same_content_failed_before_then_the_engine_runs_again(house: House) -> None:
    house.converter.behaviour = failing_with(CorruptSource())
    await house.open_slot()
    await ended(house, await house.request())
    house.converter.behaviour = make_upper_case
    (second,) = await ended(house, await house.request())

    assert (second.status, second.cached_from) == (Status.COMPLETED, None)


async def test_follower_when_the_engine_gave_up_on_another_one_then_it_tries_by_itself(house: House) -> None:
    house.settings = house.settings.model_copy(update={"max_attempts": 1})
    gate, leader = await leading(house, failing_with(EngineCrashed()))
    healthy = FakeConverter(make_upper_case)
    await house.open_slot(healthy)
    follower = await following(house, await house.request())
    house.converter.behaviour = make_upper_case
    gate.open.set()
    failed, followed = await ended(house, leader, follower)

    assert failed.status is Status.FAILED
    assert (followed.status, followed.cached_from) == (Status.COMPLETED, None)


async def test_follower_when_the_leader_is_cancelled_then_it_runs_by_itself(house: House) -> None:
    gate, leader = await leading(house)
    other = FakeConverter(make_upper_case)
    await house.open_slot(other)
    follower = await following(house, await house.request())
    await house.stores.conversions.apply(request_cancel(leader.id, owner=OWNER, now_ms=house.clock.now_ms()))

    async def cancelled() -> bool:
        house.clock.advance(1)
        return (await house.look(leader)).is_terminal

    await until(cancelled)
    gate.open.set()  # whichever slot takes the follower now can finish it
    (followed,) = await ended(house, follower)

    assert (await house.look(leader)).status is Status.CANCELLED
    assert (followed.status, followed.cached_from) == (Status.COMPLETED, None)


async def test_follower_when_it_is_cancelled_then_it_ends_at_once_and_the_leader_goes_on(house: House) -> None:
    gate, leader = await leading(house)
    await house.open_slot()
    follower = await following(house, await house.request())
    await house.stores.conversions.apply(cancel_waiting(follower.id, owner=OWNER, now_ms=house.clock.now_ms()))
    gate.open.set()
    led, followed = await ended(house, leader, follower)

    assert (led.status, followed.status) == (Status.COMPLETED, Status.CANCELLED)


async def test_follower_when_the_leader_vanishes_then_it_looks_for_itself_takes_over_and_the_leader_takes_its_result(
    house: House,
) -> None:
    """Promises 1 and 3: a dead leader blocks nobody, and its own second run costs no engine."""
    gate, leader = await leading(house)
    house.converter.behaviour = make_upper_case  # for what this slot takes when it has noticed that it is fenced
    healthy = FakeConverter(make_upper_case)
    held = await house.look(leader)
    await house.open_slot(healthy)
    follower = await following(house, await house.request())
    await house.stores.conversions.apply(worker_lost(held, now_ms=house.clock.now_ms()))  # what the reaper does
    house.clock.advance(FOLLOW_LONGEST_MS / 1000)
    house.board.drop(leader.id)
    await outbox(house).sweep()  # makes a date of the follower's wait
    house.clock.advance(FOLLOW_LONGEST_MS / 1000)
    await outbox(house).sweep()
    done = await ended(house, leader, follower)
    gate.open.set()

    assert {one.status for one in done} == {Status.COMPLETED}
    assert sum(one.cached_from is None for one in done) == 1
    assert len(healthy.jobs) + len(house.converter.jobs) == 2  # the one that vanished, and one for both


async def test_follower_when_its_wakeup_is_lost_then_the_date_in_its_record_brings_it_back(
    house: House, logs: list[EventDict]
) -> None:
    gate, leader = await leading(house)
    await house.open_slot()
    follower = await following(house, await house.request())
    house.bus.is_away = True
    gate.open.set()
    await ended(house, leader)
    await until(lambda: any(entry["event"] == "followers.left_to_the_outbox" for entry in logs))
    house.bus.is_away = False
    await outbox(house).sweep()  # makes a date of the wait
    house.clock.advance(FOLLOW_LONGEST_MS / 1000)
    await outbox(house).sweep()
    (followed,) = await ended(house, follower)

    assert followed.cached_from == leader.id


async def test_follower_when_the_leader_ended_before_the_record_said_that_it_waits_then_not_left_waiting(
    house: House,
) -> None:
    """Whoever writes last sees the other one: the leader looks for followers, the follower looks at the leader."""
    gate, paused = Gate(), asyncio.Event()
    house.converter.behaviour = gate
    await house.open_slot()
    leader = await house.request()
    await gate.reached.wait()
    apply = house.stores.conversions.apply

    async def apply_late(change: Any) -> Conversion | None:
        if change.assign.get("waits_for"):
            paused.set()
            await until(leader_has_told)
        return await apply(change)

    async def leader_has_told() -> bool:
        return (await house.look(leader)).is_terminal and leader.id not in house.board.running

    house.stores.conversions.apply = apply_late  # type: ignore[method-assign]
    await house.open_slot()
    follower = await house.request()
    await paused.wait()
    gate.open.set()
    (followed,) = await ended(house, follower)

    assert followed.cached_from == leader.id


@pytest.mark.parametrize("what", ["object", "record", "status"])
async def test_second_when_the_first_ones_result_is_gone_then_the_engine_runs_and_leads_again(
    house: House, what: str
) -> None:
    await house.open_slot()
    (first,) = await ended(house, await house.request())
    if what == "object":
        await house.objects.delete([first.outputs[0].key])
    elif what == "record":
        await house.stores.conversions.delete(first.id, owner=OWNER)
    else:
        await house.stores.conversions.apply(expire_result(first, now_ms=house.clock.now_ms()))
    second, third = [(await ended(house, await house.request()))[0] for _ in range(2)]

    assert (second.cached_from, third.cached_from) == (None, second.id)


async def test_second_when_the_store_refuses_copies_then_the_engine_runs(house: House) -> None:
    """The cache never makes a request fail."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise ObjectStoreUnavailable(detail="AccessDenied")

    await house.open_slot()
    await ended(house, await house.request())
    house.objects.copy = refuse  # type: ignore[method-assign]
    (second,) = await ended(house, await house.request())

    assert (second.status, second.cached_from) == (Status.COMPLETED, None)


async def test_leader_when_the_answer_to_its_entry_was_lost_then_it_still_leads(house: House) -> None:
    """An unknown outcome is looked up: it must not follow itself."""
    lead, answers = house.stores.cache.lead, 0

    async def lead_unheard(entry: Any) -> bool:
        nonlocal answers
        answers += 1
        led = await lead(entry)
        if answers == 1:
            raise StoreUnavailable(detail="the answer was lost")
        return led

    house.stores.cache.lead = lead_unheard  # type: ignore[method-assign]
    await house.open_slot()
    record = await house.request()

    async def done() -> bool:
        house.clock.advance(1)
        return (await house.look(record)).is_terminal

    await until(done)
    assert (answers, (await house.look(record)).status) == (2, Status.COMPLETED)


async def test_job_when_nothing_is_cached_then_the_cache_costs_one_call(house: House) -> None:
    calls: list[str] = []

    def count(store: Any, name: str) -> None:
        call = getattr(store, name)

        async def counted(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return await call(*arguments, **named)

        setattr(store, name, counted)

    for name in ("lead", "get", "take_over"):
        count(house.stores.cache, name)
    count(house.stores.conversions, "waiting_for")
    await house.open_slot()
    await ended(house, await house.request())
    await until(lambda: not house.board.running)

    assert calls == ["lead"]


async def test_entry_of_another_owner_when_it_stands_under_our_key_then_not_taken(house: House) -> None:
    """The key holds the owner already; this is the second lock on the same door."""
    await house.open_slot()
    (first,) = await ended(house, await house.request())
    known = await house.stores.cache.get(first.cache_key or "")
    assert known is not None
    await house.stores.cache.take_over(known, msgspec.structs.replace(known, owner="berta", token=known.token))
    (second,) = await ended(house, await house.request())

    assert second.cached_from is None
