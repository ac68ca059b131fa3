"""The simulation itself: it repeats, it notices what is wrong, it shrinks what fails, and it cannot run for ever."""

import asyncio
from collections.abc import Iterator

import pytest

from converto_core.conversion.record import Conversion, Status
from tests.unit.model.__main__ import main
from tests.unit.model.checks.ending import tidy_up
from tests.unit.model.cluster import Cluster
from tests.unit.model.explorer import explore, shrunk, steps_of
from tests.unit.model.requests import SOURCE
from tests.unit.model.stepped_loop import EndlessLoop, SteppedLoop
from tests.unit.model.steps import KINDS, Step, Steps


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    one = SteppedLoop()
    yield one
    for task in asyncio.all_tasks(one):
        task.cancel()
    one.settle()
    one.close()


def a_completed_conversion(cluster: Cluster) -> Conversion:
    cluster.submit()
    cluster.repair()
    cluster.run_to_end()
    (record,) = cluster.records
    assert record.status is Status.COMPLETED
    return record


@pytest.mark.parametrize("seed", [3, 4])
def test_same_seed_makes_the_same_changes(seed: int) -> None:
    first, second, other = explore(seed), explore(seed), explore(seed + 100)

    assert first == second
    assert first.trace != other.trace


def test_every_kind_of_step_is_chosen_and_can_be_taken(cluster: Cluster) -> None:
    assert {step.name for seed in range(40) for step in steps_of(seed)} == set(KINDS)
    assert [name for name in KINDS if not callable(getattr(Steps(cluster), name))] == []


# It notices


def test_missing_output_is_noticed(cluster: Cluster) -> None:
    key = a_completed_conversion(cluster).outputs[0].key
    del cluster.objects._objects[key]
    cluster.objects.changes += 1

    with pytest.raises(AssertionError, match="there is only"):
        cluster.settle()


def test_output_of_another_source_is_noticed(cluster: Cluster) -> None:
    key = a_completed_conversion(cluster).outputs[0].key
    cluster.loop.run_until_complete(cluster.objects.put(key, b"page 1 of 1 of other words", content_type="text/plain"))

    with pytest.raises(AssertionError, match="of another source"):
        cluster.settle()


def test_output_deleted_behind_its_record_is_noticed(cluster: Cluster) -> None:
    key = a_completed_conversion(cluster).outputs[0].key
    cluster.api.ask(cluster.api.objects.delete([key]))

    with pytest.raises(AssertionError, match="deleted its output"):
        cluster.settle()


def test_orphan_is_noticed(cluster: Cluster) -> None:
    record = a_completed_conversion(cluster)
    for housekeeper in cluster.housekeepers:
        housekeeper.freeze()
    leftover = record.outputs[0].key.replace("/1/result", "/1/leftover")
    cluster.loop.run_until_complete(cluster.objects.put(leftover, b"left", content_type="text/plain"))

    with pytest.raises(AssertionError, match=r"leftover\.pdf is an orphan"):
        tidy_up(cluster)


def test_stuck_conversion_is_noticed(cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.freeze()
    cluster.submit()

    with pytest.raises(AssertionError, match="stuck"):
        cluster.run_to_end()


def test_two_conversions_of_one_key_are_noticed(cluster: Cluster) -> None:
    creation = cluster.create()
    cluster.settle()
    cluster.create()
    cluster.settle()
    first, second = cluster.records
    creation.ids.add(second.id)

    assert first.id in creation.ids
    with pytest.raises(AssertionError, match="one key made"):
        cluster.run_to_end()


def test_lost_entry_of_a_history_is_noticed(cluster: Cluster) -> None:
    record = a_completed_conversion(cluster)
    cluster.stores.history._entries.delete(f"{record.id}:000003")

    with pytest.raises(AssertionError, match="its history says"):
        cluster.run_to_end()


def test_wrong_upload_is_told_from_a_good_one(cluster: Cluster) -> None:
    cluster.create()
    cluster.settle()
    (record,) = cluster.records
    cluster.upload(record, SOURCE)

    assert not cluster.facts.is_wrong(record.file_id)
    assert cluster.facts.unexplained(record.file_id, "source_gone") == "source_gone"


# It ends


def test_code_that_never_waits_is_stopped(loop: SteppedLoop) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - it has to spin
            await asyncio.sleep(0)

    loop.create_task(spin())

    with pytest.raises(EndlessLoop, match="not idle after"):
        loop.settle()


def test_timer_that_fires_without_end_is_stopped(loop: SteppedLoop) -> None:
    async def hurry() -> None:
        while True:  # noqa: ASYNC110 - it has to spin
            await asyncio.sleep(1e-6)

    loop.create_task(hurry())

    with pytest.raises(EndlessLoop, match="timers"):
        loop.advance(60.0, lambda: None)


def test_shrinking_leaves_the_steps_that_matter() -> None:
    steps = [Step("sweep", {"number": number}) for number in range(60)]
    wanted = {17, 44}

    left = shrunk(steps, lambda fewer: wanted <= {step.values["number"] for step in fewer})

    assert [step.values["number"] for step in left] == [17, 44]


def test_command_names_what_it_has_seen(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--seeds", "2", "--first", "5", "--jobs", "1"])
    printed = capsys.readouterr().out

    assert status == 0
    assert "Seen in 2 seeds" in printed
    assert "Failed: none" in printed
