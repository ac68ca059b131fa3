"""A quarantined conversion runs alone in its worker (promise 3: a poison file is not charged to jobs beside it)."""

import asyncio

from conversion_worker.slot.exclusive_gate import ExclusiveGate
from converto_core.conversion.record import Lane, Status
from tests.unit.conversion_worker.fakes import FakeConverter, Gate
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


async def test_quarantined_conversion_waits_under_its_lease_and_runs_run_exclusively(harness: Harness) -> None:
    shared_gate, exclusive_gate = Gate(), Gate()
    ordinary = await harness.request(b"ordinary")
    await harness.start_slot(FakeConverter(shared_gate))
    await shared_gate.reached.wait()
    quarantined = await harness.request(b"quarantined", lane=Lane.QUARANTINE, lost=2)
    await harness.start_slot(FakeConverter(exclusive_gate), takes_quarantine=True)
    await until(lambda: harness.gate.is_closed)
    waiting = await harness.get(quarantined)

    assert waiting.status is Status.PROCESSING
    assert not exclusive_gate.reached.is_set()

    shared_gate.open.set()
    await exclusive_gate.reached.wait()
    assert (await harness.get(ordinary)).status is Status.COMPLETED
    exclusive_gate.open.set()
    await harness.wait_for(quarantined, Status.COMPLETED)


async def test_ordinary_message_is_released_while_a_quarantined_one_runs(harness: Harness) -> None:
    gate = Gate()
    await harness.start_slot()
    quarantined = await harness.request(b"quarantined", lane=Lane.QUARANTINE, lost=2)
    await harness.start_slot(FakeConverter(gate), takes_quarantine=True)
    await gate.reached.wait()
    later = await harness.request(b"later")
    await until(lambda: harness.gate.is_closed)

    assert (await harness.get(later)).status is Status.PENDING

    gate.open.set()
    await harness.wait_for(later, Status.COMPLETED)
    await harness.wait_for(quarantined, Status.COMPLETED)


async def test_cancelled_exclusive_job_reopens_the_gate() -> None:
    gate = ExclusiveGate()
    async with gate.shared():
        waiting = asyncio.create_task(_run_exclusively(gate))
        await until(lambda: gate.is_closed)
        waiting.cancel()
        await asyncio.wait({waiting})

    async with gate.shared():
        assert not gate.is_closed


async def _run_exclusively(gate: ExclusiveGate) -> None:
    async with gate.exclusive():
        raise AssertionError("a shared job is running")
