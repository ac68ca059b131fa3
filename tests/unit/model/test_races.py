"""Races that random interleavings seldom hit, each step by step on the same cluster as `test_random_interleavings.py`.

The reference model checks each change here too; the tests assert the final state.
"""

import pytest
import structlog

from converto_core.conversion.history import Entry
from converto_core.conversion.record import Conversion, HistoryEvent, Lane, Status
from converto_core.errors import CorruptSource
from tests.unit.model.checks.ending import ask_again, tidy_up
from tests.unit.model.cluster import Cluster
from tests.unit.model.links import Fault
from tests.unit.model.requests import OTHER, PAGES, SOURCE, Creation
from tests.unit.model.worker import Engine, Worker, crash

LEASE_AND_MORE_S = 12.0


def a_busy_worker(cluster: Cluster) -> tuple[Worker, Engine]:
    """A worker that is running the only conversion."""
    if not cluster.records:
        cluster.submit()
    for _ in range(20):
        cluster.let_pass(0.5)
        for worker in cluster.workers:
            if worker.engines and not worker.is_frozen:
                return worker, worker.engines[0]
    raise AssertionError(f"no worker runs {cluster.records}")


def record_at_the_end(cluster: Cluster, *, is_new: bool = False) -> Conversion:
    """The only conversion, after all faults are gone and it has ended; `is_new` submits it."""
    if is_new:
        cluster.submit()
    cluster.repair()
    cluster.run_to_end()
    (record,) = cluster.records
    return record


def test_late_complete_of_reaped_worker_changes_nothing(cluster: Cluster) -> None:
    """Promise 2: a late update of a fenced worker changes nothing."""
    worker, engine = a_busy_worker(cluster)
    worker.database.set_fault(Fault.HELD)
    engine.finish()
    cluster.let_pass(LEASE_AND_MORE_S)
    other, _ = a_busy_worker(cluster)
    assert worker.database.has_pending_requests
    worker.database.set_fault(Fault.NONE)
    cluster.settle()
    (record,) = cluster.records

    assert (record.status, record.worker, record.token) == (Status.PROCESSING, other.name, 2)
    assert record_at_the_end(cluster).outputs[0].key.split("/")[-2] == "2"


def test_outputs_stay_when_answer_to_complete_is_lost(cluster: Cluster) -> None:
    """Promise 2: the result of the update is looked up, never guessed."""
    worker, engine = a_busy_worker(cluster)
    worker.database.set_fault(Fault.ANSWER_LOST, is_once=True, is_for_writes=True)
    engine.finish()
    cluster.let_pass(5.0)
    (record,) = cluster.records

    assert record.status is Status.COMPLETED
    assert cluster.objects.has(record.outputs[0].key)


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.ANSWER_LOST, Fault.HELD, Fault.SLOW])
def test_cut_off_worker_ends_its_engine_within_the_lease(cluster: Cluster, fault: Fault) -> None:
    """Promise 3: never two engines at once; `Cluster.at_rest` checks it continuously."""
    worker, engine = a_busy_worker(cluster)
    worker.database.set_fault(fault)
    cluster.let_pass(LEASE_AND_MORE_S)
    other, _ = a_busy_worker(cluster)

    assert other is not worker
    assert engine not in worker.engines
    assert record_at_the_end(cluster).status is Status.COMPLETED


def test_thawed_worker_that_was_reaped_ends_its_engine(cluster: Cluster) -> None:
    worker, engine = a_busy_worker(cluster)
    worker.freeze()
    cluster.let_pass(LEASE_AND_MORE_S)
    other, _ = a_busy_worker(cluster)
    worker.thaw()
    engine.finish()
    cluster.settle()

    assert worker.engines == []
    assert other.engines
    assert cluster.records[0].token == 2


def test_stopping_worker_hands_back_without_counting_the_attempt(cluster: Cluster) -> None:
    """Behaviour M14."""
    worker, _ = a_busy_worker(cluster)
    worker.ask_to_stop()
    cluster.let_pass(5.0)
    (record,) = cluster.records

    assert record.worker != worker.name
    assert record.token >= 1
    assert record.attempt == int(record.status is Status.PROCESSING)
    assert record_at_the_end(cluster).status is Status.COMPLETED


def test_beat_before_the_reapers_update_saves_the_lease() -> None:
    """Even a reaper with too short a lease takes only what had no beat since its read."""
    with structlog.testing.capture_logs():
        cluster = Cluster(reaper_lease_s=1.5)
        worker, engine = a_busy_worker(cluster)
        worker.database.set_fault(Fault.HELD)
        for housekeeper in cluster.housekeepers:
            housekeeper.database.set_fault(Fault.HELD, is_for_writes=True)
        while not all(housekeeper.database.has_pending_requests for housekeeper in cluster.housekeepers):
            cluster.let_pass(0.1)
        worker.database.set_fault(Fault.NONE)
        cluster.settle()
        for housekeeper in cluster.housekeepers:
            housekeeper.database.set_fault(Fault.NONE)
        cluster.settle()
        (record,) = cluster.records
        cluster.close()

    assert (record.status, record.token, record.lost) == (Status.PROCESSING, 1, 0)
    assert record.beat > engine.claimed.beat


def test_cancel_during_reaping_ends_cancelled(cluster: Cluster) -> None:
    worker, _ = a_busy_worker(cluster)
    for housekeeper in cluster.housekeepers:
        housekeeper.database.set_fault(Fault.HELD, is_for_writes=True)
    cluster.kill(worker)
    while not all(housekeeper.database.has_pending_requests for housekeeper in cluster.housekeepers):
        cluster.let_pass(0.5)
    cluster.cancel(cluster.records[0])
    cluster.settle()
    for housekeeper in cluster.housekeepers:
        housekeeper.database.set_fault(Fault.NONE)
    cluster.let_pass(LEASE_AND_MORE_S)
    (record,) = cluster.records

    assert (record.status, record.lost, record.token) == (Status.CANCELLED, 1, 1)


def test_poison_file_is_quarantined_fails_and_can_be_retried(cluster: Cluster) -> None:
    """Promise 3: a poison file ends as `failed`."""
    lanes = []
    for _ in range(3):
        worker, engine = a_busy_worker(cluster)
        lanes.append(engine.claimed.lane)
        cluster.kill(worker)
        cluster.let_pass(LEASE_AND_MORE_S)
    (record,) = cluster.records
    cluster.retry(record)
    _, engine = a_busy_worker(cluster)

    assert lanes == [Lane.NORMAL, Lane.HIGH, Lane.QUARANTINE]
    assert (record.status, record.error_code, record.attempt) == (Status.FAILED, "worker_lost", 1)
    assert (engine.claimed.lost, engine.claimed.attempt, engine.claimed.token) == (0, 1, 4)


def test_crashing_engine_fails_after_all_attempts(cluster: Cluster) -> None:
    for _ in range(2):
        _, engine = a_busy_worker(cluster)
        engine.fail(crash())
        cluster.settle()
    (record,) = cluster.records

    assert (record.status, record.attempt, record.lost) == (Status.FAILED, 2, 0)
    assert len(record.errors) == 2


def test_conversion_runs_after_broker_outage_and_purged_queues(
    cluster: Cluster,
) -> None:
    """Promise 1, behaviour C4."""
    cluster.bus.is_away = True
    cluster.submit()
    cluster.let_pass(30.0)
    cluster.bus.is_away = False
    cluster.bus.purge()
    a_busy_worker(cluster)

    assert record_at_the_end(cluster).status is Status.COMPLETED


# Three ways to confirm an upload (C7)


def an_upload_that_waits(cluster: Cluster) -> Conversion:
    """A conversion whose bytes have arrived, and which nobody has confirmed."""
    cluster.create()
    cluster.settle()
    (record,) = cluster.records
    cluster.upload(record, SOURCE)
    return record


def test_upload_without_confirmation_or_event_is_converted(cluster: Cluster) -> None:
    """M1: its client is gone, and the object store reports nothing."""
    an_upload_that_waits(cluster)
    cluster.let_pass(8.0)

    assert a_busy_worker(cluster)
    assert record_at_the_end(cluster).status is Status.COMPLETED


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.ANSWER_LOST, Fault.HELD, Fault.SLOW])
def test_event_interrupted_at_the_record_is_delivered_again(cluster: Cluster, fault: Fault) -> None:
    """The update that starts the conversion fails, or its answer is lost: the message is not deleted before."""
    record = an_upload_that_waits(cluster)
    cluster.api.database.set_fault(fault, is_for_writes=True)
    cluster.report(record)
    cluster.let_pass(2.0)
    kept = len(cluster.upload_events.waiting)
    cluster.repair()
    cluster.let_pass(20.0)

    assert kept == 1
    assert cluster.upload_events.waiting == []
    assert record_at_the_end(cluster).status is Status.COMPLETED


def test_event_survives_the_crash_of_its_consumer(cluster: Cluster) -> None:
    record = an_upload_that_waits(cluster)
    for housekeeper in cluster.housekeepers:
        housekeeper.freeze()
    cluster.api.database.set_fault(Fault.HELD)
    cluster.report(record)
    cluster.settle()
    cluster.kill(cluster.api)
    early = cluster.records[0].status
    cluster.let_pass(12.0)  # longer than a delivered message stays hidden

    assert early is Status.AWAITING_UPLOAD
    assert cluster.records[0].status is not Status.AWAITING_UPLOAD
    assert cluster.upload_events.waiting == []


@pytest.mark.parametrize("killed_after_steps", range(0, 60, 3))
def test_all_confirm_at_once_and_one_dies(cluster: Cluster, killed_after_steps: int) -> None:
    """The client, an event (twice) and two sweeps; the file service dies at any step. The model checks each change."""
    record = an_upload_that_waits(cluster)
    cluster.let_pass(3.9)
    for _ in range(2):
        cluster.confirm(record)
        cluster.report(record)
    for housekeeper in cluster.housekeepers:
        housekeeper.nudge()
    cluster.loop.call_soon(_kill_after, cluster, killed_after_steps)
    cluster.let_pass(0.5)
    last = record_at_the_end(cluster)
    events = [entry.event for entry in history_of_all(cluster, last)]

    assert events.count(HistoryEvent.QUEUED) == 1
    assert (last.status, last.token, last.attempt) == (Status.COMPLETED, 1, 1)


def _kill_after(cluster: Cluster, steps: int) -> None:
    """Kill the file service after so many turns of the loop."""
    if steps > 0:
        cluster.loop.call_soon(_kill_after, cluster, steps - 1)
    else:
        cluster.kill(cluster.api)


def history_of_all(cluster: Cluster, record: Conversion) -> list[Entry]:
    return cluster.loop.run_until_complete(cluster.stores.history.of(record.id, owner=record.owner))


# One engine run for the same content (I8)


def a_leader_and_its_waiter(cluster: Cluster) -> tuple[Worker, Engine, Conversion]:
    """Two conversions of the same content: one runs, and the other waits for it."""
    cluster.submit(PAGES)
    cluster.submit(PAGES, api=cluster.apis[1])
    cluster.let_pass(0.5)
    (worker,) = [worker for worker in cluster.workers if worker.engines]
    (engine,) = worker.engines
    (waiter,) = [record for record in cluster.records if record.waits_for is not None]
    return worker, engine, waiter


def test_waiter_copies_the_result_of_its_leader(cluster: Cluster) -> None:
    _, engine, waiter = a_leader_and_its_waiter(cluster)
    engine.finish()
    cluster.let_pass(0.5)
    made, copied = (record_of(cluster, one) for one in (engine.claimed.id, waiter.id))

    assert made.status is copied.status is Status.COMPLETED
    assert copied.cached_from == made.id
    assert [output.sha256 for output in copied.outputs] == [output.sha256 for output in made.outputs]
    assert len(copied.outputs) == 3


@pytest.mark.parametrize("end", ["crash", "kill", "freeze", "cancel", "stop"])
def test_waiter_runs_when_its_leader_makes_nothing(cluster: Cluster, end: str) -> None:
    worker, engine, waiter = a_leader_and_its_waiter(cluster)
    if end == "crash":
        engine.fail(crash())
    elif end == "kill":
        cluster.kill(worker)
    elif end == "freeze":
        worker.freeze()
    elif end == "cancel":
        cluster.cancel(engine.claimed)
    else:
        worker.ask_to_stop()
    cluster.let_pass(LEASE_AND_MORE_S)
    cluster.repair()
    cluster.run_to_end()

    assert record_of(cluster, waiter.id).status is Status.COMPLETED
    assert record_of(cluster, engine.claimed.id).status is (Status.CANCELLED if end == "cancel" else Status.COMPLETED)


def test_waiter_fails_like_a_leader_with_a_corrupt_source(cluster: Cluster) -> None:
    _, engine, waiter = a_leader_and_its_waiter(cluster)
    engine.fail(CorruptSource())
    cluster.let_pass(0.5)
    failed = record_of(cluster, waiter.id)

    assert (failed.status, failed.error_code) == (Status.FAILED, "source_corrupt")
    assert cluster.engines == []


def test_waiter_of_a_deleted_leader_makes_its_own_result(cluster: Cluster) -> None:
    _, engine, waiter = a_leader_and_its_waiter(cluster)
    for worker in cluster.workers:
        worker.storage.set_fault(Fault.HELD, is_for_writes=True)  # neither upload nor copy
    engine.finish()
    cluster.settle()
    for worker in cluster.workers:
        worker.storage.set_fault(Fault.NONE)
        worker.storage.set_fault(Fault.UNREACHABLE, is_for_writes=True)
    cluster.let_pass(0.5)
    cluster.delete(record_of(cluster, engine.claimed.id))
    cluster.settle()
    cluster.repair()
    cluster.run_to_end()

    assert [record.id for record in cluster.records if record.status is Status.COMPLETED] == [waiter.id]


def test_retry_of_a_cancelled_waiter_waits_no_more(cluster: Cluster) -> None:
    """Its message is due at once, although the outbox has to send it."""
    _, _, waiter = a_leader_and_its_waiter(cluster)
    cluster.cancel(waiter)
    cluster.settle()
    cluster.bus.is_away = True
    cluster.retry(waiter)
    cluster.settle()
    again = record_of(cluster, waiter.id)

    assert (again.status, again.wait_ms) == (Status.PENDING, None)
    assert (again.publish_due or 0) <= cluster.servers.now_ms()


def test_other_content_of_the_same_size_is_converted_anew(cluster: Cluster) -> None:
    cluster.submit(SOURCE)
    cluster.submit(OTHER)
    cluster.let_pass(0.5)

    assert {engine.source for engine in cluster.engines} == {SOURCE, OTHER}


def test_known_file_is_answered_from_the_cache(cluster: Cluster) -> None:
    """Two file services answer the same request for one file at once, each with copies of its own."""
    made = record_at_the_end(cluster, is_new=True)
    for api in cluster.apis:
        cluster.create_for_file(made.file_id, api=api)
    cluster.settle()
    copied = [record for record in cluster.records if record.cached_from == made.id]

    assert [record.status for record in copied] == [Status.COMPLETED] * 2
    assert len({output.key for record in cluster.records for output in record.outputs}) == 3


def record_of(cluster: Cluster, conversion_id: str) -> Conversion:
    return cluster.model.accounts[conversion_id].record


# One conversion per Idempotency-Key


def test_same_key_at_two_file_services_makes_one_conversion(cluster: Cluster) -> None:
    creation = cluster.create()
    cluster.create_again(creation, api=cluster.apis[1])
    cluster.settle()
    cluster.create_again(creation, api=cluster.apis[1])
    cluster.settle()

    assert len(cluster.records) == 1
    assert creation.refusals == {"request_in_flight": 1}
    assert [answer.is_replayed for answer in creation.answers] == [False, True]
    assert {answer.body.decode() for answer in creation.answers} == {cluster.records[0].id}


@pytest.mark.parametrize("killed_after_turns", range(1, 16))
def test_key_survives_a_crash_between_reservation_and_answer(cluster: Cluster, killed_after_turns: int) -> None:
    creation = cluster.create()
    cluster.loop.run_turns(killed_after_turns)
    cluster.kill(cluster.api)
    ask_again(cluster)

    assert len(cluster.records) == 1
    assert {answer.body.decode() for answer in creation.answers} == {cluster.records[0].id}


# Deletion


@pytest.mark.parametrize("turns", range(1, 25))
def test_delete_and_retry_at_once_leave_no_half(cluster: Cluster, turns: int) -> None:
    """The retried conversion is complete, or its record is gone; the model checks each deleted object."""
    _, engine = a_busy_worker(cluster)
    cluster.cancel(engine.claimed)
    cluster.let_pass(3.0)
    for worker in cluster.workers:
        worker.succeed_always()
    cluster.retry(cluster.records[0], api=cluster.apis[1])
    cluster.loop.run_turns(turns)
    cluster.delete(engine.claimed)
    cluster.settle()
    cluster.repair()
    cluster.run_to_end()

    assert [record.status for record in cluster.records] in ([], [Status.COMPLETED])
    tidy_up(cluster)


def test_deleted_conversion_leaves_no_object_when_its_deletion_breaks_off(cluster: Cluster) -> None:
    record = record_at_the_end(cluster, is_new=True)
    cluster.api.storage.set_fault(Fault.UNREACHABLE, is_for_writes=True)
    cluster.delete(record)
    cluster.settle()
    left = cluster.objects.has(record.outputs[0].key)
    cluster.api.storage.set_fault(Fault.NONE)

    assert cluster.records == []
    assert left
    tidy_up(cluster)


@pytest.mark.parametrize("turns", range(1, 40, 3))
def test_file_deleted_while_it_is_converted_leaves_nothing(cluster: Cluster, turns: int) -> None:
    """Behaviour I10: what waits is cancelled; what runs ends either way."""
    for worker in cluster.workers:
        worker.succeed_always()
    record = an_upload_that_waits(cluster)
    cluster.confirm(record)
    cluster.loop.run_turns(turns)
    cluster.delete_file(record.file_id)
    last = record_at_the_end(cluster)

    assert last.status in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    tidy_up(cluster)


@pytest.mark.parametrize("frozen_after_turns", range(1, 17))
def test_delete_delayed_past_a_retry_spares_its_result(cluster: Cluster, frozen_after_turns: int) -> None:
    """One file service stops in the middle of a DELETE; meanwhile another one retries, and a worker uploads."""
    a_busy_worker(cluster)
    cluster.cancel(cluster.records[0])
    cluster.let_pass(5.0)
    (cancelled,) = cluster.records
    cluster.delete(cancelled)
    cluster.loop.run_turns(frozen_after_turns)
    cluster.api.freeze()
    cluster.retry(cancelled, api=cluster.apis[1])
    cluster.settle()
    if cluster.records:
        worker, engine = a_busy_worker(cluster)
        worker.database.set_fault(Fault.HELD, is_for_writes=True)
        engine.finish()
        cluster.settle()
        cluster.api.thaw()
        cluster.settle()
        worker.database.set_fault(Fault.NONE)
        cluster.settle()
    cluster.repair()
    cluster.run_to_end()

    assert [cluster.objects.has(output.key) for one in cluster.records for output in one.outputs] == [
        True for _ in cluster.records
    ]
    assert cancelled.status is Status.CANCELLED


# Clocks that were hours ahead and are right again


HOURS_MS = 3 * 3_600_000


def test_message_dated_hours_ahead_is_sent_at_once(cluster: Cluster) -> None:
    cluster.set_wall_clock(cluster.api, HOURS_MS)
    cluster.bus.is_away = True
    cluster.submit()
    cluster.settle()
    cluster.set_wall_clock(cluster.api, 0)
    cluster.bus.is_away = False

    cluster.let_pass(15.0)
    assert cluster.engines


@pytest.mark.parametrize("is_sent", [True, False])
def test_upload_dated_hours_ahead_is_found(cluster: Cluster, *, is_sent: bool) -> None:
    cluster.set_wall_clock(cluster.api, HOURS_MS)
    (record,) = cluster.made_by(settled(cluster))
    cluster.set_wall_clock(cluster.api, 0)
    if is_sent:
        cluster.upload(record, SOURCE)

    cluster.let_pass(15.0)
    assert bool(cluster.engines) is is_sent


def test_key_reserved_hours_ahead_is_free_again(cluster: Cluster) -> None:
    cluster.set_wall_clock(cluster.api, HOURS_MS)
    cluster.api.database.set_fault(Fault.SLOW)
    creation = settled(cluster)
    cluster.kill(cluster.api)
    cluster.create_again(creation)
    cluster.settle()

    assert creation.answers
    assert not creation.refusals


def settled(cluster: Cluster) -> Creation:
    """A request, with all that follows from it at once."""
    creation = cluster.create()
    cluster.settle()
    return creation
