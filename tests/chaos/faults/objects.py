"""Faults of the objects: an output deleted, or replaced by other bytes of the same size; error answers of the store."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from converto_core.conversion.record import Conversion, Status
from converto_core.ports.stores import ConversionFilter
from converto_infra.s3.store import S3ObjectStore
from tests.chaos.faults.fault import Fault, Met, Passing
from tests.chaos.report.entries import Noted
from tests.chaos.report.findings import objects_of, stores_of
from tests.chaos.system import System
from tests.proxy import Way

RECENT, MOST_ATTACKED = 20, 3
REFUSING_S = 3.0
SLOW_DOWN = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: 57\r\n\r\n<Error><Code>SlowDown</Code><Message>503</Message></Error>"
)

Attack = Callable[[S3ObjectStore, str, int], Awaitable[None]]


async def delete(system: System) -> Met:
    """Delete some results behind the service's back."""

    async def attack(objects: S3ObjectStore, key: str, size_bytes: int) -> None:
        await objects.delete([key])

    return await _attack(system, attack)


async def replace(system: System) -> Met:
    """Replace some results by other bytes of the same size."""

    async def attack(objects: S3ObjectStore, key: str, size_bytes: int) -> None:
        await objects.put(key, b"\xa5" * size_bytes, content_type="application/octet-stream")

    return await _attack(system, attack)


async def refuse_requests(system: System) -> Met:
    """Answer every request to the object store with 503."""
    passing = Passing(system, "object_store")
    with system.outage("object_store", "answers 503"):
        system.proxies["object_store"].answer_instead(SLOW_DOWN)
        try:
            await asyncio.sleep(REFUSING_S)
        finally:
            system.proxies["object_store"].pass_on()
    return passing.since(Way.TO_SERVER)


async def _attack(system: System, attack: Attack) -> Met:
    """Attack the outputs of some conversions. What is told about them counts as of the end of the attack."""
    async with stores_of(system.settings) as stores:
        query = ConversionFilter(statuses=(Status.COMPLETED,), limit=RECENT)
        found = await stores.conversions.find(query)
    chosen = system.chance.sample(found, min(MOST_ATTACKED, len(found)))
    async with objects_of(system.settings) as objects:
        for conversion in chosen:
            _note(system, conversion)
            for output in conversion.outputs:
                system.history.damage(output.key)
                await attack(objects, output.key, output.size_bytes)
            system.traffic.attacked_s[conversion.id] = time.monotonic()
    return Met(len(chosen), "results")


def _note(system: System, conversion: Conversion) -> None:
    """Write it down before it happens: a killed run must not blame the service."""
    system.traffic.attacked_s[conversion.id] = time.monotonic()
    system.run_journal.append(Noted(time.monotonic(), conversion.client_id or "", "attacked", conversion.id))


FAULTS = (
    Fault("object_store: results deleted", delete),
    Fault("object_store: results replaced by other bytes", replace),
    Fault("object_store: answers 503", refuse_requests),
)
