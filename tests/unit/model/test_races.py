"""Races that random interleavings seldom hit, each step by step on the same cluster as `test_random_interleavings.py`.

The reference model checks each change here too; the tests assert the final state.
"""

from collections.abc import Iterator

import pytest
import structlog

from converto_core.conversion.history import Entry
from converto_core.conversion.record import Conversion, HistoryEvent, Lane, Status
from tests.unit.model.cluster import OWNER, SOURCE, Cluster
from tests.unit.model.links import Fault
from tests.unit.model.processes import Api, Engine, Process, Worker, crash

LEASE_AND_MORE_S = 12.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with structlog.testing.capture_logs():
        one = Cluster()
        yield one
        one.close()


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


def record_at_the_end(cluster: Cluster) -> Conversion:
    """The only conversion, after all faults are gone and it has ended."""
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
        cluster = Cluster(reaper_lease_s=3.0)
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
    cluster.api.database.set_fault(Fault.NONE)
    cluster.let_pass(60.0)

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


# Deletion


@pytest.mark.parametrize("frozen_after_steps", range(16))
def test_delete_delayed_past_a_retry_spares_its_result(cluster: Cluster, frozen_after_steps: int) -> None:
    """One file service stops in the middle of a DELETE; meanwhile another one retries, and a worker uploads."""
    a_busy_worker(cluster)
    cluster.cancel(cluster.records[0])
    cluster.let_pass(5.0)
    (cancelled,) = cluster.records
    cluster.delete(cancelled)
    cluster.loop.call_soon(_freeze_after, cluster.api, frozen_after_steps)
    cluster.settle()
    other = Api(cluster.servers, "api-2", offset_s=90.0)
    other.ask(other.wiring.submission.retry(OWNER, cancelled.id))
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
    other.kill()

    assert [cluster.objects.has(output.key) for one in cluster.records for output in one.outputs] == [
        True for _ in cluster.records
    ]
    assert cancelled.status is Status.CANCELLED


def _freeze_after(process: Process, steps: int) -> None:
    """Stop the process after so many turns of the loop."""
    if steps > 0:
        process.servers.loop.call_soon(_freeze_after, process, steps - 1)
    else:
        process.freeze()
