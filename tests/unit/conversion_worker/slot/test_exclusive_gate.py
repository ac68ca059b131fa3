"""A quarantined conversion runs alone in its worker (promise 3: a poison file is not charged to jobs beside it)."""

import asyncio

from conversion_worker.slot.exclusive_gate import ExclusiveGate
from converto_core.conversion.record import Lane, Status
from tests.unit.conversion_worker.fakes import FakeConverter, Gate
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


async def test_quarantined_conversion_waits_under_its_lease_and_runs_alone(harness: Harness) -> None:
    neighbours_gate, suspects_gate = Gate(), Gate()
    neighbour = await harness.request(b"neighbour")
    await harness.start_slot(FakeConverter(neighbours_gate))
    await neighbours_gate.reached.wait()
    suspect = await harness.request(b"suspect", lane=Lane.QUARANTINE, lost=2)
    await harness.start_slot(FakeConverter(suspects_gate), takes_quarantine=True)
    await until(lambda: harness.gate.is_closed)
    waiting = await harness.get(suspect)

    assert waiting.status is Status.PROCESSING
    assert not suspects_gate.reached.is_set()

    neighbours_gate.open.set()
    await suspects_gate.reached.wait()
    assert (await harness.get(neighbour)).status is Status.COMPLETED
    suspects_gate.open.set()
    await harness.wait_for(suspect, Status.COMPLETED)


async def test_ordinary_message_is_released_while_a_quarantined_one_runs(harness: Harness) -> None:
    gate = Gate()
    await harness.start_slot()
    suspect = await harness.request(b"suspect", lane=Lane.QUARANTINE, lost=2)
    await harness.start_slot(FakeConverter(gate), takes_quarantine=True)
    await gate.reached.wait()
    later = await harness.request(b"later")
    await until(lambda: harness.gate.is_closed)

    assert (await harness.get(later)).status is Status.PENDING

    gate.open.set()
    await harness.wait_for(later, Status.COMPLETED)
    await harness.wait_for(suspect, Status.COMPLETED)


async def test_cancelled_exclusive_job_reopens_the_gate() -> None:
    company = ExclusiveGate()
    async with company.shared():
        waiting = asyncio.create_task(_alone(company))
        await until(lambda: company.is_closed)
        waiting.cancel()
        await asyncio.wait({waiting})

    async with company.shared():
        assert not company.is_closed


async def _alone(company: ExclusiveGate) -> None:
    async with company.exclusive():
        raise AssertionError("a neighbour works")
