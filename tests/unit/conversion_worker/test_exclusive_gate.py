"""A suspect runs alone in its worker (promise 3: a poison file blocks nobody and is not charged to its neighbours)."""

import asyncio

from conversion_worker.slot.exclusive_gate import ExclusiveGate
from converto_core.conversion.record import Lane, Status
from tests.unit.conversion_worker.conftest import House
from tests.unit.conversion_worker.fakes import FakeConverter, Gate
from tests.unit.fake_clock import until


async def test_suspect_when_a_neighbour_works_then_it_waits_with_its_lease_and_runs_alone(house: House) -> None:
    neighbours_gate, suspects_gate = Gate(), Gate()
    neighbour = await house.request(b"neighbour")
    await house.open_slot(FakeConverter(neighbours_gate))
    await neighbours_gate.reached.wait()
    suspect = await house.request(b"suspect", lane=Lane.QUARANTINE, lost=2)
    await house.open_slot(FakeConverter(suspects_gate), takes_quarantine=True)
    await until(lambda: house.company.is_closed)
    waiting = await house.look(suspect)

    assert waiting.status is Status.PROCESSING
    assert not suspects_gate.reached.is_set()

    neighbours_gate.open.set()
    await suspects_gate.reached.wait()
    assert (await house.look(neighbour)).status is Status.COMPLETED
    suspects_gate.open.set()
    await house.reach(suspect, Status.COMPLETED)


async def test_neighbour_when_a_suspect_runs_then_its_wake_up_goes_back_and_it_follows_after(house: House) -> None:
    gate = Gate()
    await house.open_slot()
    suspect = await house.request(b"suspect", lane=Lane.QUARANTINE, lost=2)
    await house.open_slot(FakeConverter(gate), takes_quarantine=True)
    await gate.reached.wait()
    later = await house.request(b"later")
    await until(lambda: house.company.is_closed)

    assert (await house.look(later)).status is Status.PENDING

    gate.open.set()
    await house.reach(later, Status.COMPLETED)
    await house.reach(suspect, Status.COMPLETED)


async def test_suspect_when_cancelled_while_it_waits_then_the_others_may_go_on() -> None:
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
