"""What a run must not leave over once everything has ended: objects, multipart uploads, messages, work folders."""

import asyncio
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import aio_pika

from converto_core.conversion.record import Conversion, Lane
from converto_core.events import queue_name
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.object_keys import TENANTS, SourceKey, parse_key
from converto_core.ports.objects import ObjectStore
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings
from tests.chaos.report.entries import Verdict
from tests.chaos.report.findings import objects_of, stores_of
from tests.chaos.report.rereads import until_answered

PAGE = 500
OLD_ENOUGH_S = 2.0
HOUSEKEEPING_WITHIN_S = 120.0
SWEEPS = "orphans,open_uploads"
WORK_FOLDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+")
MOST_NAMED = 5


async def sweep(environment: dict[str, str]) -> None:
    """Run housekeeping once for what belongs to no record, as if all of it were old; raises when it fails."""
    old = ("CONVERTO_ORPHAN_AGE_S", "CONVERTO_UPLOAD_DEADLINE_S")
    shorter = ("CONVERTO_CONVERSION_TIMEOUT_S", "CONVERTO_MEDIA_TIMEOUT_S")  # than the age of an orphan
    ages = dict.fromkeys(old, str(OLD_ENOUGH_S)) | dict.fromkeys(shorter, str(OLD_ENOUGH_S / 2))
    await asyncio.sleep(OLD_ENOUGH_S + 1)  # the object store dates in whole seconds
    command = (sys.executable, "-m", "file_service.housekeeping", "--once", "--only", SWEEPS)
    process = await asyncio.create_subprocess_exec(*command, env=environment | ages, stdout=-1, stderr=-2)
    async with asyncio.timeout(HOUSEKEEPING_WITHIN_S):
        output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"housekeeping ended with {process.returncode}: {output.decode(errors='replace')[-500:]}")


async def leftovers(settings: Settings, work_folders: Sequence[Path]) -> list[Verdict]:
    """Return a verdict for each kind of thing that is left over; raises `NotAnswered`."""
    found = {
        "objects without a record": await until_answered("objects", lambda: _objects(settings)),
        "multipart uploads": await until_answered("uploads", lambda: _uploads(settings)),
        "messages": await until_answered("queues", lambda: _messages(settings)),
        "work folders": work_left(work_folders),
    }
    return left_behind(found)


def left_behind(found: dict[str, list[str]]) -> list[Verdict]:
    """Return a verdict for each kind of which anything was found."""
    return [
        Verdict(f"{kind} left behind", f"{len(names)}: {', '.join(names[:MOST_NAMED])}")
        for kind, names in found.items()
        if names
    ]


def work_left(folders: Iterable[Path]) -> list[str]:
    """Return the private folders of conversions that no worker has removed."""
    return [name for folder in folders if folder.is_dir() for name in _names_below(folder)]


def unowned(keys: Iterable[str], conversions: dict[str, Conversion], files: dict[str, File]) -> list[str]:
    """Return the keys that no record refers to."""
    return [key for key in keys if not _is_owned(key, conversions, files)]


def _is_owned(key: str, conversions: dict[str, Conversion], files: dict[str, File]) -> bool:
    parsed = parse_key(key)
    if parsed is None:
        return False
    if isinstance(parsed, SourceKey):
        file = files.get(parsed.file_id)
        return file is not None and file.status is not FileStatus.DELETED
    conversion = conversions.get(parsed.conversion_id)
    return conversion is not None and key in {output.key for output in conversion.outputs}


def _names_below(folder: Path) -> Iterator[str]:
    for _, names, _ in os.walk(folder):
        yield from (name for name in names if WORK_FOLDER.fullmatch(name))


async def _objects(settings: Settings) -> list[str]:
    async with objects_of(settings) as objects, stores_of(settings) as stores:
        keys = await _keys(objects)
        parsed = [found for key in keys if (found := parse_key(key)) is not None]
        file_ids = [one.file_id for one in parsed if isinstance(one, SourceKey)]
        conversion_ids = [one.conversion_id for one in parsed if not isinstance(one, SourceKey)]
        return unowned(keys, await _conversions(stores, conversion_ids), await _files(stores, file_ids))


async def _keys(objects: ObjectStore) -> list[str]:
    keys: list[str] = []
    after: str | None = None
    while True:
        page = await objects.list_page(TENANTS, after=after, limit=PAGE)
        keys += [found.key for found in page.objects]
        if (after := page.after) is None:
            return keys


async def _conversions(stores: MongoStores, ids: Sequence[str]) -> dict[str, Conversion]:
    pages = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
    return {one.id: one for page in pages for one in await stores.conversions.get_many(page)}


async def _files(stores: MongoStores, ids: Sequence[str]) -> dict[str, File]:
    pages = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
    return {one.id: one for page in pages for one in await stores.files.get_many(page)}


async def _uploads(settings: Settings) -> list[str]:
    async with objects_of(settings) as objects:
        page = await objects.list_uploads(TENANTS, after=None, limit=PAGE)
        return [upload.key for upload in page.uploads] if page is not None else []


async def _messages(settings: Settings) -> list[str]:
    connection = await aio_pika.connect(settings.rabbitmq_url.get_secret_value(), timeout=10)
    left: list[str] = []
    async with connection:
        for family in (Family.OFFICE, Family.IMAGE):
            for lane in Lane:
                channel = await connection.channel()
                found = await channel.declare_queue(queue_name(family, lane), passive=True)
                left += [found.name] * (found.declaration_result.message_count or 0)
                await channel.close()
    return left
