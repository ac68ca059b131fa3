"""Reads the final records and outputs from database and object store, past all proxies."""

import asyncio
from collections import defaultdict

from converto_core.conversion.record import Conversion
from converto_core.errors import SourceGone
from converto_core.ports.stores import ConversionFilter
from converto_infra.mongo.stores import MongoStores
from converto_infra.s3.store import S3ObjectStore
from tests.chaos.report.ledger import Findings
from tests.chaos.system import System

PAGE = 200
READS_AT_ONCE = 8


async def read_findings(system: System, completions: dict[str, frozenset[int]]) -> Findings:
    """Return all records with the bytes of their outputs."""
    stores, objects = MongoStores.connect(system.settings), S3ObjectStore.connect(system.settings)
    try:
        records = await _all_records(stores)
        outputs = await _all_outputs(objects, records)
    finally:
        await objects.close()
        await stores.close()
    by_label: dict[str, list[Conversion]] = defaultdict(list)
    for record in records:
        by_label[record.client_id or ""].append(record)
    return Findings(records=by_label, outputs=outputs, completions=completions, journal=system.journal.read())


async def _all_records(stores: MongoStores) -> list[Conversion]:
    records: list[Conversion] = []
    while True:
        after = records[-1].id if records else None
        page = await stores.conversions.find(ConversionFilter(after=after, limit=PAGE))
        records += page
        if len(page) < PAGE:
            return records


async def _all_outputs(objects: S3ObjectStore, records: list[Conversion]) -> dict[str, list[bytes | None]]:
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(record: Conversion) -> tuple[str, list[bytes | None]]:
        async with limit:
            return record.id, [await _read(objects, output.key, output.size_bytes) for output in record.outputs]

    return dict(await asyncio.gather(*(read(record) for record in records)))


async def _read(objects: S3ObjectStore, key: str, size_bytes: int) -> bytes | None:
    try:
        return await objects.read_range(key, start=0, length=max(size_bytes, 1))
    except SourceGone:
        return None
