"""Steps that these tests share: a leader whose engine is held, its waiters, and the end of several conversions."""

from converto_core.conversion.record import Conversion, Status
from converto_engines.converter import Job, Product
from file_service.delivery.outbox import Outbox
from tests.unit.conversion_worker.fakes import Behaviour, Gate, make_upper_case
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import until


def outbox(harness: Harness) -> Outbox:
    return Outbox(
        harness.stores.conversions,
        harness.bus,
        republish_after_s=60,
        republish_max_s=3600,
        monotonic=harness.clock.monotonic,
        now_ms=harness.clock.now_ms,
    )


async def ended(harness: Harness, *records: Conversion) -> list[Conversion]:
    """Wait until all conversions have ended; return their records."""
    for record in records:
        await until(lambda record=record: _is_terminal(harness, record), within_s=20)  # type: ignore[misc]
    return [await harness.get(record) for record in records]


async def _is_terminal(harness: Harness, record: Conversion) -> bool:
    return (await harness.get(record)).is_terminal


async def start_waiting(harness: Harness, record: Conversion) -> Conversion:
    """Wait until a conversion waits for its leader and no slot holds it; return its record."""

    async def waits() -> bool:
        now = await harness.get(record)
        running = {slot.conversion_id for slot in harness.running_jobs.running}
        return now.status is Status.PENDING and now.waits_for is not None and record.id not in running

    await until(waits)
    return await harness.get(record)


async def body_of(harness: Harness, record: Conversion) -> bytes:
    return await harness.objects.read_range(record.outputs[0].key, start=0, length=999)


async def start_leading(harness: Harness, behaviour: Behaviour = make_upper_case) -> tuple[Gate, Conversion]:
    """Start a conversion whose engine waits for the returned gate, then shows this behaviour."""
    gate = Gate()

    async def held(job: Job) -> list[Product]:
        await gate(job)
        return await behaviour(job)

    harness.converter.behaviour = held
    await harness.start_slot()
    leader = await harness.request()
    await gate.reached.wait()
    return gate, leader
