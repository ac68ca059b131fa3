"""Races that chance seldom finds, each told step by step on the same installation as `test_random_interleavings.py`.

The judge looks at each change there too; a test says what came of it in the end.
"""

from collections.abc import Iterator

import pytest
import structlog

from converto_core.conversion.record import Conversion, Lane, Status
from tests.unit.model.links import Weather
from tests.unit.model.processes import Engine, Worker, crash
from tests.unit.model.cluster import World

LEASE_AND_MORE_S = 12.0


@pytest.fixture
def world() -> Iterator[World]:
    with structlog.testing.capture_logs():
        one = World()
        yield one
        one.close()


def at_work(world: World) -> tuple[Worker, Engine]:
    """A worker that converts the one conversion there is."""
    if not world.records:
        world.submit()
    for _ in range(20):
        world.let_pass(0.5)
        for worker in world.workers:
            if worker.engines and not worker.is_frozen:
                return worker, worker.engines[0]
    raise AssertionError(f"nobody works on {world.records}")


def the_end(world: World) -> Conversion:
    """The one conversion, after all is well again."""
    world.heal()
    world.run_fairly()
    (record,) = world.records
    return record


def test_worker_when_its_complete_arrives_after_it_was_reaped_then_the_next_one_completes(world: World) -> None:
    """Promise 2: a late update of a fenced worker changes nothing."""
    worker, engine = at_work(world)
    worker.database.turn(Weather.HELD)
    engine.finish()
    world.let_pass(LEASE_AND_MORE_S)
    other, _ = at_work(world)
    assert worker.database.holds_some
    worker.database.turn(Weather.CLEAR)
    world.settle()
    (record,) = world.records

    assert (record.status, record.worker, record.token) == (Status.PROCESSING, other.name, 2)
    assert the_end(world).outputs[0].key.split("/")[-2] == "2"


def test_worker_when_the_answer_to_complete_is_lost_then_its_outputs_stay(world: World) -> None:
    """Promise 2: the outcome is looked up, never guessed."""
    worker, engine = at_work(world)
    worker.database.turn(Weather.DEAF, is_once=True, is_for_writes=True)
    engine.finish()
    world.let_pass(5.0)
    (record,) = world.records

    assert record.status is Status.COMPLETED
    assert world.objects.has(record.outputs[0].key)


@pytest.mark.parametrize("weather", [Weather.AWAY, Weather.DEAF, Weather.HELD, Weather.SLOW])
def test_worker_when_cut_off_for_a_lease_then_its_engine_is_ended_before_the_next_one_begins(
    world: World, weather: Weather
) -> None:
    """Promise 3: no two engines side by side; `World.at_rest` looks at each moment."""
    worker, engine = at_work(world)
    worker.database.turn(weather)
    world.let_pass(LEASE_AND_MORE_S)
    other, _ = at_work(world)

    assert other is not worker
    assert engine not in worker.engines
    assert the_end(world).status is Status.COMPLETED


def test_worker_when_it_wakes_after_it_was_reaped_then_it_ends_its_engine_at_once(world: World) -> None:
    worker, engine = at_work(world)
    worker.freeze()
    world.let_pass(LEASE_AND_MORE_S)
    other, _ = at_work(world)
    worker.thaw()
    engine.finish()
    world.settle()

    assert worker.engines == []
    assert other.engines
    assert world.records[0].token == 2


def test_worker_when_asked_to_stop_while_it_works_then_the_attempt_is_not_charged(world: World) -> None:
    """Behaviour M14."""
    worker, _ = at_work(world)
    worker.ask_to_stop()
    world.let_pass(5.0)
    (record,) = world.records

    assert record.worker != worker.name
    assert record.token >= 1
    assert record.attempt == int(record.status is Status.PROCESSING)
    assert the_end(world).status is Status.COMPLETED


def test_reaper_when_in_a_hurry_and_a_beat_comes_before_its_update_then_it_takes_nothing() -> None:
    """Even a reaper with too short a lease takes only what has not beaten since it looked."""
    with structlog.testing.capture_logs():
        world = World(reaper_lease_s=3.0)
        worker, engine = at_work(world)
        worker.database.turn(Weather.HELD)
        for housekeeper in world.housekeepers:
            housekeeper.database.turn(Weather.HELD, is_for_writes=True)
        while not all(housekeeper.database.holds_some for housekeeper in world.housekeepers):
            world.let_pass(0.1)
        worker.database.turn(Weather.CLEAR)
        world.settle()
        for housekeeper in world.housekeepers:
            housekeeper.database.turn(Weather.CLEAR)
        world.settle()
        (record,) = world.records
        world.close()

    assert (record.status, record.token, record.lost) == (Status.PROCESSING, 1, 0)
    assert record.beat > engine.claimed.beat


def test_cancel_when_it_comes_between_a_reapers_look_and_its_update_then_it_ends_cancelled(world: World) -> None:
    worker, _ = at_work(world)
    for housekeeper in world.housekeepers:
        housekeeper.database.turn(Weather.HELD, is_for_writes=True)
    world.kill(worker)
    while not all(housekeeper.database.holds_some for housekeeper in world.housekeepers):
        world.let_pass(0.5)
    world.cancel(world.records[0])
    world.settle()
    for housekeeper in world.housekeepers:
        housekeeper.database.turn(Weather.CLEAR)
    world.let_pass(LEASE_AND_MORE_S)
    (record,) = world.records

    assert (record.status, record.lost, record.token) == (Status.CANCELLED, 1, 1)


def test_poison_when_it_takes_each_worker_down_then_alone_then_failed_and_a_retry_starts_anew(world: World) -> None:
    """Promise 3: a poison file ends as `failed`."""
    lanes = []
    for _ in range(3):
        worker, engine = at_work(world)
        lanes.append(engine.claimed.lane)
        world.kill(worker)
        world.let_pass(LEASE_AND_MORE_S)
    (record,) = world.records
    world.retry(record)
    _, engine = at_work(world)

    assert lanes == [Lane.NORMAL, Lane.HIGH, Lane.QUARANTINE]
    assert (record.status, record.error_code, record.attempt) == (Status.FAILED, "worker_lost", 1)
    assert (engine.claimed.lost, engine.claimed.attempt, engine.claimed.token) == (0, 1, 4)


def test_engine_when_it_crashes_each_time_then_failed_after_all_attempts(world: World) -> None:
    for _ in range(2):
        _, engine = at_work(world)
        engine.fail(crash())
        world.settle()
    (record,) = world.records

    assert (record.status, record.attempt, record.lost) == (Status.FAILED, 2, 0)
    assert len(record.errors) == 2


def test_wakeup_when_every_queue_is_purged_and_the_broker_is_away_for_long_then_it_runs_all_the_same(
    world: World,
) -> None:
    """Promise 1, behaviour C4."""
    world.bus.is_away = True
    world.submit()
    world.let_pass(30.0)
    world.bus.is_away = False
    world.bus.purge()
    at_work(world)

    assert the_end(world).status is Status.COMPLETED
