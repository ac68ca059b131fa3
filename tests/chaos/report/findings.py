"""Reads the final records and outputs from database and object store, past all proxies, however slow they are."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from converto_core.conversion.record import Conversion
from converto_core.errors import SourceGone
from converto_core.ports.stores import ConversionFilter
from converto_infra.mongo.stores import MongoStores
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from tests.chaos.report.accounts import Account
from tests.chaos.report.entries import Line, Told
from tests.chaos.report.journal import Entry
from tests.chaos.report.ledger import Findings
from tests.chaos.report.pictures import expected_pictures
from tests.chaos.report.rereads import WITHIN_S, until_answered

PAGE = 200
READS_AT_ONCE = 8
READER_SETTINGS = {
    "CONVERTO_MONGODB_TIMEOUT_S": "30",
    "CONVERTO_S3_TIMEOUT_S": "30",
    "CONVERTO_BREAKER_FAILURES": "1000",  # a reader that repeats its calls needs no breaker
}


async def read_findings(
    settings: Settings,
    accounts: Sequence[Account],
    lines: Sequence[Line],
    *,
    journal: Sequence[Entry],
    within_s: float = WITHIN_S,
) -> Findings:
    """Return all records with the bytes of their outputs; raises `NotAnswered`."""
    records = await until_answered("records", lambda: _all_records(settings), within_s=within_s)
    async with objects_of(settings) as objects:
        outputs = await _all_outputs(objects, records)
    by_label: dict[str, list[Conversion]] = defaultdict(list)
    for record in records:
        by_label[record.client_id or ""].append(record)
    made = {record.client_id for record in records if record.outputs}
    wanted = [account.source for account in accounts if account.source.kind == "picture"]
    pictures = await expected_pictures([source.content for source in wanted if source.label in made])
    return Findings(
        records=by_label, outputs=outputs, completions=completions(lines), journal=journal, pictures=pictures
    )


@asynccontextmanager
async def stores_of(settings: Settings) -> AsyncIterator[MongoStores]:
    """Open a connection to the database for one read."""
    stores = MongoStores.connect(settings)
    try:
        yield stores
    finally:
        await stores.close()


@asynccontextmanager
async def objects_of(settings: Settings) -> AsyncIterator[S3ObjectStore]:
    """Open a connection to the object store."""
    objects = S3ObjectStore.connect(settings)
    try:
        yield objects
    finally:
        await objects.close()


def completions(lines: Sequence[Line]) -> Mapping[str, frozenset[int]]:
    """Return the tokens of all `completed` events that were received, by conversion."""
    tokens: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        if isinstance(line, Told) and line.status == "completed":
            tokens[line.id].add(line.token)
    return {key: frozenset(found) for key, found in tokens.items()}


async def _all_records(settings: Settings) -> list[Conversion]:
    async with stores_of(settings) as stores:
        records: list[Conversion] = []
        while True:
            after = records[-1].id if records else None
            page = await stores.conversions.find(ConversionFilter(after=after, limit=PAGE))
            records += page
            if len(page) < PAGE:
                return records


async def _all_outputs(objects: S3ObjectStore, records: list[Conversion]) -> dict[str, list[bytes | None]]:
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(key: str, size_bytes: int) -> bytes | None:
        async with limit:
            return await until_answered(f"object {key}", lambda: _read(objects, key, size_bytes))

    async def read_all(record: Conversion) -> tuple[str, list[bytes | None]]:
        return record.id, [await read(output.key, output.size_bytes) for output in record.outputs]

    return dict(await asyncio.gather(*(read_all(record) for record in records)))


async def _read(objects: S3ObjectStore, key: str, size_bytes: int) -> bytes | None:
    """Return the whole object, and one byte more than its record tells if there is one."""
    try:
        return await objects.read_range(key, start=0, length=size_bytes + 1)
    except SourceGone:
        return None
