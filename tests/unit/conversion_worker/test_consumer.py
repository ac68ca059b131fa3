"""One conversion through a slot: its states and facts, duplicates, failures, cancel, stop, and servers that go away."""

import asyncio
import errno
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.typing import EventDict

from converto_core.conversion.processing import claim, complete, worker_lost
from converto_core.conversion.record import Lane, Status, Step
from converto_core.conversion.transitions import request_cancel
from converto_core.errors import BadOptions, CorruptSource, EngineCrashed, EngineTimeout, LimitExceeded
from converto_core.events import ConversionCreated, conversion_created
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.conftest import OWNER, House
from tests.unit.conversion_worker.fakes import (
    FakeConverter,
    Gate,
    failing_with,
    files_in,
    make_upper_case,
    passing,
    until,
)


async def test_slot_when_woken_then_result_is_stored_with_hashes_and_times(house: House) -> None:
    """Behaviours I2, I3, I4 and C5: hashes of the source, start before work, outputs and completion time after it."""
    record = await house.request(b"words\n")
    await house.open_slot()
    done = await house.reach(record, Status.COMPLETED)
    file = await house.stores.files.get(record.file_id)
    (output,) = done.outputs

    assert file is not None
    assert file.sha256 == hashlib.sha256(b"words\n").hexdigest() == done.source_sha256
    assert file.sha512 == hashlib.sha512(b"words\n").hexdigest()
    assert (done.percent, done.attempt, done.worker, done.publish_due) == (100.0, 1, None, None)
    assert done.engine_versions == {"fake": "1.0"}
    assert done.started_at is not None
    assert done.completed_at is not None
    assert output.filename == "notes.pdf"
    assert output.sha256 == hashlib.sha256(b"WORDS\n").hexdigest()
    assert output.key == f"t/{OWNER}/out/{record.id}/1/result.pdf"
    assert await house.objects.read_range(output.key, start=0, length=99) == b"WORDS\n"
    assert house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0
    assert files_in(house.workspace.folder) == []


async def test_slot_when_working_then_facts_tell_started_and_completed_in_order(house: House) -> None:
    record = await house.request()
    await house.open_slot()
    await until(lambda: any(fact.status is Status.COMPLETED for fact in house.facts))

    assert [fact.status for fact in house.facts] == [Status.PROCESSING, Status.COMPLETED]
    assert {fact.id for fact in house.facts} == {record.id}


async def test_slots_when_a_wakeup_is_delivered_many_times_then_the_conversion_runs_once(house: House) -> None:
    """Promise 2: at-least-once delivery, one visible effect."""
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    for _ in range(5):
        await house.bus.publish(conversion_created(record))
    await house.open_slot()
    await house.open_slot()
    await gate.reached.wait()
    await until(lambda: house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)
    gate.open.set()
    await house.reach(record, Status.COMPLETED)

    assert len(house.converter.jobs) == 1


async def test_slot_when_the_wakeup_has_an_old_token_then_it_claims_nothing(house: House) -> None:
    record = await house.request(token=4)
    await house.open_slot()
    await house.reach(record, Status.COMPLETED)
    await house.bus.publish(conversion_created(record))
    await until(lambda: house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)

    assert len(house.converter.jobs) == 1
    assert (await house.look(record)).token == 5


async def test_slot_when_the_plan_has_two_steps_then_each_works_on_what_the_one_before_made(house: House) -> None:
    async def pages(job: Job) -> list[Product]:
        made = [job.folder / f"{number}.png" for number in (1, 2, 3)]
        for path in made:
            path.write_bytes(path.name.encode() + job.source.read_bytes())
        return [Product(path=path, page=number) for number, path in enumerate(made, start=1)]

    first = FakeConverter(make_upper_case, seconds=3)
    second = FakeConverter(pages, name="pager", source="pdf", target="png")
    record = await house.request(plan=(Step("fake", "txt", "pdf"), Step("pager", "pdf", "png")))
    await house.open_slot(first, second)
    done = await house.reach(record, Status.COMPLETED)

    assert [(output.page, output.filename) for output in done.outputs] == [
        (1, "notes-1.png"),
        (2, "notes-2.png"),
        (3, "notes-3.png"),
    ]
    assert second.sources_seen == [b"WORDS\n"]
    assert second.jobs[0].folder != first.jobs[0].folder
    assert second.jobs[0].source.parent == second.jobs[0].folder


@pytest.mark.parametrize("error", [CorruptSource("The deck is damaged"), EngineTimeout(), LimitExceeded()])
async def test_slot_when_trying_again_cannot_help_then_it_fails_at_once(house: House, error: Exception) -> None:
    """Behaviours I4 and I13: a stable code and a message for people; the next file converts."""
    house.converter.behaviour = failing_with(error)
    record = await house.request()
    await house.open_slot()
    failed = await house.reach(record, Status.FAILED)
    house.converter.behaviour = make_upper_case
    following = await house.request()

    assert failed.error_code == error.stable_code  # type: ignore[attr-defined]
    assert failed.error_message == str(error)
    assert [entry.attempt for entry in failed.errors] == [1]
    await house.reach(following, Status.COMPLETED)


async def test_slot_when_an_option_is_wrong_then_it_fails_as_bad_options(house: House) -> None:
    record = await house.request(options={"times": "many"})
    await house.open_slot()

    assert (await house.reach(record, Status.FAILED)).error_code == BadOptions.code


async def test_slot_when_the_engine_crashes_each_time_then_three_attempts_with_growing_waits(house: House) -> None:
    """Behaviour I4; the wait is in the record (`wait_ms`), not in a queue."""
    house.converter.behaviour = failing_with(EngineCrashed())
    waiting = await house.request()
    await house.open_slot()
    waits_ms = []
    for _ in range(2):
        waiting = await house.reach(waiting, Status.PENDING)
        waits_ms.append(waiting.wait_ms or 0)
        await house.bus.publish(conversion_created(waiting))
    failed = await house.reach(waiting, Status.FAILED)

    assert 0 <= waits_ms[0] <= 10_000
    assert 0 <= waits_ms[1] <= 20_000
    assert [entry.code for entry in failed.errors] == ["engine_crashed"] * 3
    assert [entry.attempt for entry in failed.errors] == [1, 2, 3]
    assert failed.attempt == 3


async def test_slot_when_the_program_breaks_unexpectedly_then_the_record_says_so_and_the_slot_goes_on(
    house: House,
) -> None:
    house.converter.behaviour = failing_with(RuntimeError("a bug"))
    record = await house.request()
    await house.open_slot()
    waiting = await house.reach(record, Status.PENDING)
    house.converter.behaviour = make_upper_case
    following = await house.request()

    assert waiting.errors[0].code == "internal_error"
    assert "a bug" not in waiting.errors[0].message
    await house.reach(following, Status.COMPLETED)


async def test_slot_when_the_converter_is_not_installed_then_another_attempt_is_left_to_others(house: House) -> None:
    record = await house.request(plan=(Step("elsewhere", "txt", "pdf"),))
    await house.open_slot()

    assert (await house.reach(record, Status.PENDING)).errors[0].code == "engine_missing"


async def test_slot_when_the_source_is_gone_then_it_fails_and_says_so(house: House) -> None:
    record = await house.request()
    file = await house.stores.files.get(record.file_id)
    assert file is not None
    await house.objects.delete([file.key])
    await house.open_slot()

    assert (await house.reach(record, Status.FAILED)).error_code == "source_gone"


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"declared_sha256": "0" * 64}, "checksum_mismatch"),
        ({"sha256": "f" * 64}, "checksum_mismatch"),
        ({"size_bytes": 7}, "size_mismatch"),
    ],
)
async def test_slot_when_the_bytes_are_not_those_announced_then_it_fails(
    house: House, known: dict[str, Any], code: str
) -> None:
    """Behaviour M5: a wrong checksum is refused."""
    record = await house.request()
    await house.stores.files.update(record.file_id, version=1, expected={"uploaded"}, assign=known)  # type: ignore[arg-type]
    await house.open_slot()

    assert (await house.reach(record, Status.FAILED)).error_code == code
    assert house.converter.jobs == []


async def test_slot_when_the_content_is_not_the_planned_type_then_it_fails(house: House) -> None:
    """Behaviour I13: mislabelled files fail clearly."""
    record = await house.request(b"MZ\x90\x00" + bytes(200))
    await house.open_slot()

    assert (await house.reach(record, Status.FAILED)).error_code == "source_type_mismatch"


async def test_slot_when_cancel_is_requested_while_running_then_the_program_is_ended(house: House) -> None:
    house.converter.behaviour = Gate()
    record = await house.request()
    await house.open_slot()
    await house.converter.behaviour.reached.wait()
    await house.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=1))
    await passing(house.clock, lambda: house.converter.cancelled == 1)
    cancelled = await house.reach(record, Status.CANCELLED)

    assert cancelled.outputs == ()
    assert not cancelled.cancel_requested
    assert files_in(house.workspace.folder) == []


async def test_slot_when_cancel_comes_as_the_engine_fails_then_it_ends_cancelled_and_not_waiting(house: House) -> None:
    async def cancelled_meanwhile(job: Job) -> list[Product]:
        await house.stores.conversions.apply(request_cancel(record.id, owner=OWNER, now_ms=1))
        raise EngineCrashed()

    house.converter.behaviour = cancelled_meanwhile
    record = await house.request()
    await house.open_slot()

    await house.reach(record, Status.CANCELLED)


async def test_slot_when_fenced_then_its_result_is_never_visible(house: House) -> None:
    """Promise 2: the reaper gave the conversion to another worker while this one was out."""
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    await house.open_slot()
    await gate.reached.wait()
    reaped = await house.stores.conversions.apply(worker_lost(await house.look(record), now_ms=1))
    assert reaped is not None
    other = await house.stores.conversions.apply(claim(record.id, token=reaped.token, worker="other", now_ms=2))
    gate.open.set()
    await until(lambda: not house.board.running)
    now = await house.look(record)

    assert other is not None
    assert (now.status, now.worker, now.token, now.outputs) == (Status.PROCESSING, "other", other.token, ())
    assert await house.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_slot_when_fenced_while_running_then_the_program_is_ended_at_the_next_beat(house: House) -> None:
    house.converter.behaviour = Gate()
    record = await house.request()
    await house.open_slot()
    await house.converter.behaviour.reached.wait()
    await house.stores.conversions.apply(worker_lost(await house.look(record), now_ms=1))
    await passing(house.clock, lambda: house.converter.cancelled == 1)

    assert (await house.look(record)).status is Status.PENDING
    assert (await house.look(record)).lost == 1


async def test_slot_when_the_answer_to_complete_is_lost_then_it_looks_up_and_completes_once(house: House) -> None:
    """Promise 2: an unknown outcome of the final update is read again, never guessed."""
    house.stores.lose_answer_to = lambda change: change.to is Status.COMPLETED
    record = await house.request()
    await house.open_slot()
    await passing(house.clock, lambda: any(fact.status is Status.COMPLETED for fact in house.facts))
    done = await house.look(record)

    assert done.status is Status.COMPLETED
    assert await house.objects.read_range(done.outputs[0].key, start=0, length=9) == b"WORDS\n"
    assert len(house.converter.jobs) == 1


async def test_slot_when_another_worker_completed_meanwhile_then_its_result_stays_and_ours_goes(house: House) -> None:
    """Promise 2: one `completed`, one set of outputs."""
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    await house.open_slot()
    await gate.reached.wait()
    reaped = await house.stores.conversions.apply(worker_lost(await house.look(record), now_ms=1))
    assert reaped is not None
    other = await house.stores.conversions.apply(claim(record.id, token=reaped.token, worker="other", now_ms=2))
    assert other is not None
    await house.stores.conversions.apply(complete(other, outputs=(), engine_versions={"theirs": "2"}, now_ms=3))
    gate.open.set()
    await until(lambda: not house.board.running)

    assert (await house.look(record)).engine_versions == {"theirs": "2"}
    assert await house.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_slot_when_the_answer_to_the_claim_is_lost_then_it_finds_its_own_claim(house: House) -> None:
    house.stores.lose_answer_to = lambda change: "worker" in change.assign and change.to is Status.PROCESSING
    record = await house.request()
    await house.open_slot()
    await passing(house.clock, lambda: any(fact.status is Status.COMPLETED for fact in house.facts))

    assert (await house.look(record)).token == 1
    assert len(house.converter.jobs) == 1


async def test_slot_when_its_claim_is_found_late_then_the_lease_is_renewed_before_the_work(house: House) -> None:
    """Promise 3: a reaper counts from the claim, so a worker that hears of it late has to beat before it begins."""
    house.stores.lose_answer_to = lambda change: change.to is Status.PROCESSING
    await house.request()
    await house.open_slot()
    await passing(house.clock, lambda: any(fact.status is Status.COMPLETED for fact in house.facts))
    started = house.facts[0]

    assert (started.status, started.token, started.beat) == (Status.PROCESSING, 1, 2)


async def test_slot_when_the_database_goes_and_returns_then_the_conversion_is_claimed_then(house: House) -> None:
    """Behaviour C8: the worker reconnects by itself."""
    record = await house.request()
    house.stores.is_away = True
    await house.open_slot()
    house.clock.advance(30)
    house.stores.is_away = False
    await passing(house.clock, lambda: any(fact.status is Status.COMPLETED for fact in house.facts))

    assert (await house.look(record)).status is Status.COMPLETED


async def test_slot_when_the_object_store_goes_and_returns_then_the_job_waits_for_it(house: House) -> None:
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    await house.open_slot()
    await gate.reached.wait()
    house.objects.is_away = True
    gate.open.set()
    await until(lambda: bool(house.converter.jobs[0].folder.joinpath("made.pdf").exists()))
    house.clock.advance(3)
    house.objects.is_away = False
    await passing(house.clock, lambda: any(fact.status is Status.COMPLETED for fact in house.facts))
    done = await house.look(record)

    assert done.status is Status.COMPLETED
    assert done.attempt == 1


async def test_slot_when_the_object_store_stays_away_then_the_conversion_goes_back_uncharged(house: House) -> None:
    record = await house.request()
    house.objects.is_away = True
    await house.open_slot()
    await passing(house.clock, lambda: any(fact.status is Status.PENDING for fact in house.facts), step_s=5)
    back = await house.look(record)

    assert (back.status, back.attempt, back.lost, back.lane) == (Status.PENDING, 0, 0, Lane.HIGH)


async def test_slot_when_the_broker_goes_and_returns_then_work_goes_on(house: House) -> None:
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    await house.open_slot()
    await gate.reached.wait()
    house.bus.is_away = True
    gate.open.set()
    await house.reach(record, Status.COMPLETED)
    house.bus.is_away = False
    following = await house.request()

    await house.reach(following, Status.COMPLETED)


async def test_slot_when_out_of_touch_for_a_lease_then_it_ends_its_own_program(house: House) -> None:
    """Promise 3: the worker stops before a reaper may give the conversion away; afterwards it hands back itself."""
    house.converter.behaviour = Gate()
    record = await house.request()
    await house.open_slot()
    await house.converter.behaviour.reached.wait()
    started = house.clock.monotonic()
    house.stores.is_away = True
    await passing(house.clock, lambda: house.converter.cancelled == 1, step_s=0.25)
    silent_s = house.clock.monotonic() - started
    house.stores.is_away = False
    await passing(house.clock, lambda: not house.board.running)
    back = await house.look(record)

    assert 15 <= silent_s < 20
    assert (back.status, back.attempt, back.lost) == (Status.PENDING, 0, 0)


async def test_slot_when_stopping_then_running_work_is_finished_and_nothing_new_is_taken(house: House) -> None:
    """Behaviour M14: a graceful stop finishes what it has."""
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    slot = await house.open_slot()
    await gate.reached.wait()
    following = await house.request()
    house.stop.stopping.set()
    gate.open.set()
    await asyncio.wait_for(slot, 5)

    assert (await house.look(record)).status is Status.COMPLETED
    assert (await house.look(following)).status is Status.PENDING
    assert house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1


async def test_slot_when_a_wakeup_arrives_in_the_moment_of_stopping_then_it_goes_back(house: House) -> None:
    record = await house.request()
    pop = house.bus.pop

    def pop_and_stop(keys: Sequence[tuple[Family, Lane]]) -> ConversionCreated | None:
        house.stop.stopping.set()
        return pop(keys)

    house.bus.pop = pop_and_stop  # type: ignore[method-assign]
    slot = await house.open_slot()
    await asyncio.wait_for(slot, 5)

    assert house.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1
    assert (await house.look(record)).token == 0


async def test_slot_when_idle_and_stopping_then_it_ends_at_once(house: House) -> None:
    slot = await house.open_slot()
    house.stop.stopping.set()
    await asyncio.wait_for(slot, 5)


async def test_slot_when_the_grace_period_is_over_then_it_hands_back_uncharged(house: House) -> None:
    """Behaviour M14: or gives back what it has; the attempt is not charged and it is next in line."""
    house.converter.behaviour = Gate()
    record = await house.request()
    slot = await house.open_slot()
    await house.converter.behaviour.reached.wait()
    house.stop.stopping.set()
    house.stop.give_back.set()
    await asyncio.wait_for(slot, 5)
    back = await house.look(record)

    assert (back.status, back.attempt, back.lost, back.lane) == (Status.PENDING, 0, 0, Lane.HIGH)
    assert back.publish_due is not None
    assert house.converter.cancelled == 1
    assert files_in(house.workspace.folder) == []


async def test_slot_when_leaving_without_a_database_then_it_does_not_wait_for_ever(house: House) -> None:
    house.converter.behaviour = Gate()
    record = await house.request()
    slot = await house.open_slot()
    await house.converter.behaviour.reached.wait()
    house.stores.is_away = True
    house.stop.stopping.set()
    house.stop.give_back.set()
    await asyncio.wait_for(slot, 5)
    house.stores.is_away = False

    assert (await house.look(record)).status is Status.PROCESSING  # the reaper's from here


async def test_slot_when_its_task_is_cancelled_then_it_hands_back_and_lets_the_cancellation_go_on(house: House) -> None:
    house.converter.behaviour = Gate()
    record = await house.request()
    slot = await house.open_slot()
    await house.converter.behaviour.reached.wait()
    slot.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slot

    assert (await house.look(record)).status is Status.PENDING


async def test_slot_when_not_first_then_it_leaves_the_quarantine_lane_alone(house: House) -> None:
    """Promise 3: what took workers down runs alone."""
    suspect = await house.request(lane=Lane.QUARANTINE)
    ordinary = await house.request()
    await house.open_slot()
    await house.reach(ordinary, Status.COMPLETED)
    assert (await house.look(suspect)).status is Status.PENDING
    await house.open_slot(takes_quarantine=True)

    await house.reach(suspect, Status.COMPLETED)


async def test_board_when_a_conversion_runs_then_it_is_visible(house: House) -> None:
    """Behaviour M15: what is running can be seen."""
    gate = Gate()
    house.converter.behaviour = gate
    record = await house.request()
    await house.open_slot()
    await gate.reached.wait()
    seen = [slot.conversion_id for slot in house.board.running]
    gate.open.set()
    await house.reach(record, Status.COMPLETED)

    assert seen == [record.id]


async def test_disk_when_it_fills_up_during_the_work_then_tried_again_and_not_told_as_a_fault_of_ours(
    house: House, logs: list[EventDict]
) -> None:
    """Failure matrix: a full disk is transient, the slot stays healthy."""
    house.converter.behaviour = failing_with(OSError(errno.ENOSPC, "No space left on device"))
    record = await house.request()
    await house.open_slot()
    waiting = await house.reach(record, Status.PENDING)

    assert waiting.errors[-1].code == "insufficient_storage"
    assert waiting.attempt == 1
    assert {"job.broken", "job.failed"} & {entry["event"] for entry in logs} == {"job.failed"}


async def test_claim_when_its_answer_is_lost_and_the_worker_stops_then_what_it_holds_is_finished_not_lost(
    house: House,
) -> None:
    """M14: a worker that stops in good order leaves nothing to the reaper."""
    house.stores.lose_answer_to = lambda change: "worker" in change.assign and change.to is Status.PROCESSING
    record = await house.request()
    slot = await house.open_slot()
    await until(lambda: any(change.to is Status.PROCESSING for change, _ in house.stores.applied))
    house.stop.stopping.set()
    await asyncio.wait_for(slot, 5)

    done = await house.look(record)
    assert (done.status, done.token, done.lost) == (Status.COMPLETED, 1, 0)


async def test_wakeup_when_the_database_is_away_and_the_worker_stops_then_nothing_new_is_claimed(house: House) -> None:
    record = await house.request()
    house.stores.is_away = True
    slot = await house.open_slot()
    await until(lambda: house.clock.is_waited_for)
    house.stores.is_away = False
    house.stop.stopping.set()
    await asyncio.wait_for(slot, 5)

    assert (await house.look(record)).status is Status.PENDING
