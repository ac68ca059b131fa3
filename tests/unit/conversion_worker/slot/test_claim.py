"""The order of claim and acknowledgement: a message is gone only when the database knows who answers for it."""

import asyncio

from conversion_worker.slot.claim import claim_message
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.events import ConversionCreated, conversion_created
from converto_core.formats import Family
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


class NotingDelivery:
    """A delivered message that notes what its conversion's record was like when it was settled."""

    def __init__(self, harness: Harness, record: Conversion) -> None:
        self.event: ConversionCreated = conversion_created(record)
        self.settled: list[tuple[str, Status, int]] = []
        self._harness, self._record = harness, record

    async def accept(self) -> None:
        await self._note("accepted")

    async def release(self) -> None:
        await self._note("released")

    async def _note(self, how: str) -> None:
        now = await self._harness.get(self._record)
        self.settled.append((how, now.status, now.token))


async def test_message_is_acknowledged_after_its_claim(harness: Harness) -> None:
    record = await harness.request()
    message = NotingDelivery(harness, record)
    await claim_message(message, harness.context())

    assert message.settled == [("accepted", Status.PROCESSING, 1)]


async def test_message_of_a_worker_that_dies_before_its_claim_returns(harness: Harness) -> None:
    """Promise 1: another worker gets the message at once, and nobody has to miss it first."""
    record = await harness.request()
    harness.stores.hold()
    slot = await harness.start_slot()
    await until(lambda: harness.stores.waiting == 1)
    slot.cancel()
    await asyncio.wait({slot})
    harness.stores.resume()

    assert harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1
    assert (await harness.get(record)).status is Status.PENDING


async def test_message_returns_while_the_database_is_away(harness: Harness) -> None:
    """A worker that is cut off keeps no message from the others."""
    await harness.request()
    harness.stores.is_away = True
    await harness.start_slot()
    await until(lambda: harness.clock.is_waited_for)

    assert harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 1
