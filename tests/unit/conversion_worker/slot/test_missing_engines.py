"""Slots that lack a program of the plan: others run it uncharged, and only a lack of all counts (M4, M15)."""

from typing import Any

import pytest

from conversion_worker.slot.completion import LONGEST_ENGINE_WAIT_MS
from converto_core.catalogue import NotAnswering, Worker
from converto_core.conversion.record import Conversion, Status, Step
from converto_core.errors import StoreUnavailable
from converto_engines.converter import offer_of
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case
from tests.unit.conversion_worker.harness import Harness

PLAN = (Step("fake", "txt", "pdf"), Step("cad", "pdf", "png"))
CAD, FAKE = (offer_of(FakeConverter(make_upper_case, name=name)) for name in ("cad", "fake"))


async def add_worker(harness: Harness, worker_id: str = "there-1-abcdef", **fields: Any) -> None:
    now_ms = harness.clock.now_ms()
    start = {"id": worker_id, "host": "h", "pid": 1, "started_at": now_ms, "seen_at": now_ms, "slots": 1}
    await harness.stores.workers.put(Worker(**{**start, "sandbox": "off", "offers": (FAKE, CAD), **fields}))


async def waiting(harness: Harness, **fields: Any) -> Conversion:
    """The conversion after this worker has met it."""
    record = await harness.request(plan=PLAN, **fields)
    await harness.start_slot()
    return await harness.wait_for(record, Status.PENDING)


@pytest.mark.parametrize("answers", [True, False])
async def test_program_of_another_worker_is_waited_for_uncharged(harness: Harness, answers: bool) -> None:
    silent = NotAnswering(offer=CAD, since=harness.clock.now_ms(), error="no answer within 60 s")
    await add_worker(harness, **({} if answers else {"offers": (FAKE,), "not_answering": (silent,)}))
    record = await waiting(harness)

    assert (record.attempt, record.errors, record.lost) == (0, (), 0)
    assert record.stage == "waiting for a worker that has its conversion program"
    assert record.wait_ms == 2_000


async def test_many_meetings_charge_nothing_and_cost_little(harness: Harness) -> None:
    """The worker that has the program may be busy for hours."""
    await add_worker(harness)
    record = await waiting(harness)
    waits = [record.wait_ms]
    for _ in range(10):
        await harness.publish(record)
        record = await harness.wait_for(record, Status.PENDING)
        waits.append(record.wait_ms)

    assert (record.status, record.attempt, record.errors) == (Status.PENDING, 0, ())
    assert waits[:3] == [2_000, 4_000, 6_000]
    assert waits[-1] == LONGEST_ENGINE_WAIT_MS


@pytest.mark.parametrize(
    "other",
    [
        {"offers": (FAKE,)},
        {"offers": (CAD,)},
        {"is_stopping": True},
        {"worker_id": "here-1-abcdef"},
        {"seen_at": 0},
    ],
    ids=["lacks it too", "lacks another step", "stops", "is this one", "is gone"],
)
async def test_program_that_nobody_has_counts(harness: Harness, other: dict[str, Any]) -> None:
    await add_worker(harness, **other)
    record = await waiting(harness)

    assert [error.code for error in record.errors] == ["engine_missing"]
    assert record.attempt == 1


async def test_question_without_answer_charges_nothing(harness: Harness) -> None:
    """Whether others have it is unknown while the records of the workers cannot be read."""

    class Away(type(harness.stores.workers)):  # type: ignore[misc]
        async def seen_since(self, since_ms: int) -> list[Worker]:
            raise StoreUnavailable

    harness.stores.workers = Away(harness.stores)
    record = await waiting(harness)

    assert (record.attempt, record.errors) == (0, ())
