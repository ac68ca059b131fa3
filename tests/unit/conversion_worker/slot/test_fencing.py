"""Fencing: a worker that lost its claim, or the answer to an update, has no second visible effect (promise 2)."""

from converto_core.conversion.processing import complete, worker_lost
from converto_core.conversion.record import Status
from tests.unit.conversion_worker.harness import OWNER, Harness
from tests.unit.fake_clock import advance_until, until


async def test_result_of_a_fenced_worker_is_never_visible(harness: Harness) -> None:
    """Promise 2: the reaper gave the conversion to another worker while this one did not answer."""
    gate, record, _ = await harness.start_held()
    other = await harness.lose_to_another_worker(record)
    gate.open.set()
    await until(lambda: not harness.running_jobs.running)
    now = await harness.get(record)

    assert (now.status, now.worker, now.token, now.outputs) == (Status.PROCESSING, "other", other.token, ())
    assert await harness.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_fenced_worker_ends_its_program_at_the_next_beat(harness: Harness) -> None:
    _, record, _ = await harness.start_held()
    started = harness.clock.monotonic()
    await harness.stores.conversions.apply(worker_lost(await harness.get(record), now_ms=1))
    await advance_until(harness.clock, lambda: harness.converter.cancelled == 1, step_s=0.25)

    assert harness.clock.monotonic() - started <= harness.settings.beat_interval_s + 0.5
    assert (await harness.get(record)).status is Status.PENDING
    assert (await harness.get(record)).lost == 1


async def test_lost_answer_to_the_completion_is_looked_up(harness: Harness) -> None:
    """Promise 2: an unknown outcome of the final update is read again, never guessed."""
    harness.stores.lose_answer_to = lambda change: change.to is Status.COMPLETED
    record = await harness.request()
    await harness.start_slot()
    await harness.advance_to(Status.COMPLETED)
    done = await harness.get(record)

    assert done.status is Status.COMPLETED
    assert await harness.objects.read_range(done.outputs[0].key, start=0, length=9) == b"WORDS\n"
    assert len(harness.converter.jobs) == 1


async def test_result_of_the_worker_that_took_over_stays(harness: Harness) -> None:
    """Promise 2: one `completed`, one set of outputs."""
    gate, record, _ = await harness.start_held()
    other = await harness.lose_to_another_worker(record)
    await harness.stores.conversions.apply(complete(other, outputs=(), engine_versions={"theirs": "2"}, now_ms=3))
    gate.open.set()
    await until(lambda: not harness.running_jobs.running)

    assert (await harness.get(record)).engine_versions == {"theirs": "2"}
    assert await harness.objects.list_keys(f"t/{OWNER}/out/") == []


async def test_lost_answer_to_the_claim_is_looked_up(harness: Harness) -> None:
    harness.stores.lose_answer_to = lambda change: "worker" in change.assign and change.to is Status.PROCESSING
    record = await harness.request()
    await harness.start_slot()
    await harness.advance_to(Status.COMPLETED)

    assert (await harness.get(record)).token == 1
    assert len(harness.converter.jobs) == 1


async def test_claim_found_late_beats_before_the_work(harness: Harness) -> None:
    """Promise 3: a reaper counts from the claim, so a worker that finds its claim late has to beat before it starts."""
    harness.stores.lose_answer_to = lambda change: change.to is Status.PROCESSING
    await harness.request()
    await harness.start_slot()
    await harness.advance_to(Status.COMPLETED)
    started = harness.events[0]

    assert (started.status, started.token, started.beat) == (Status.PROCESSING, 1, 2)


async def test_unconfirmed_lease_ends_the_program_before_a_reaper_may(harness: Harness) -> None:
    """Promise 3: the worker ends its program before a reaper may act, and hands the conversion back afterwards."""
    _, record, _ = await harness.start_held()
    started = harness.clock.monotonic()
    harness.stores.is_away = True
    await advance_until(harness.clock, lambda: harness.converter.cancelled == 1, step_s=0.25)
    silent_s = harness.clock.monotonic() - started
    harness.stores.is_away = False
    await advance_until(harness.clock, lambda: not harness.running_jobs.running)
    back = await harness.get(record)

    assert 15 <= silent_s < 20
    assert (back.status, back.attempt, back.lost) == (Status.PENDING, 0, 0)
