"""Housekeeping on the real servers (behaviour I10): the dry run as users start it, and several processes."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from converto_core.conversion.record import Conversion, Status
from converto_core.files.record import File, FileStatus
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import output_key, source_key
from converto_infra.mongo.stores import MongoStores
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from tests.unit.file_service.housekeeping.records import OWNER, a_conversion, a_file, an_output

ROOT = Path(__file__).resolve().parents[2]
DAY_MS = 86_400_000
# An object is an orphan after two seconds here, because the age of an object cannot be set.
SHORT_TIMES = {
    "CONVERTO_CONVERSION_TIMEOUT_S": "1",
    "CONVERTO_MEDIA_TIMEOUT_S": "1",
    "CONVERTO_ORPHAN_AGE_S": "2",
    "CONVERTO_UPLOAD_DEADLINE_S": "2",
    "CONVERTO_SOURCE_RETENTION_S": "86400",
}


class System:
    """Real servers with their own database and bucket, and what is expected to be removed or kept."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        fields = {name.removeprefix("CONVERTO_").lower(): value for name, value in environment.items()}
        self.settings = Settings(**fields)  # type: ignore[arg-type]
        self.stores = MongoStores.connect(self.settings)
        self.objects = S3ObjectStore.connect(self.settings)
        self.going: set[str] = set()
        self.staying: set[str] = set()

    async def add(self, status: Status, *, ended_ms: int, goes: bool, outputs: tuple[int, ...] = ()) -> Conversion:
        """Store a conversion with an object under each of these tokens; the first one is its output."""
        token = outputs[0] if outputs else 1
        record = a_conversion(status, now_ms=ended_ms, completed_at=ended_ms, token=token)
        if status is Status.COMPLETED:
            record = msgspec.structs.replace(record, outputs=(an_output(output_key(record, "result.pdf")),))
        await self.stores.conversions.insert(record)
        for output_token in outputs:
            key = f"t/{OWNER}/out/{record.id}/{output_token}/result.pdf"
            await self.put(key, goes=goes or output_token != token)
        (self.going if goes else self.staying).add(record.id)
        return record

    async def add_file(self, status: FileStatus, *, updated_ms: int, goes: bool) -> File:
        file = a_file(status, now_ms=updated_ms, size_bytes=6)
        await self.stores.files.insert(file)
        (self.going if goes else self.staying).add(file.id)
        return file

    async def put(self, key: str, *, goes: bool) -> None:
        await self.objects.put(key, b"result", content_type="a/b")
        (self.going if goes else self.staying).add(key)

    async def fill(self) -> None:
        """Store one record or object of each kind that is removed, and similar ones that stay."""
        now = now_ms()
        old = now - 40 * DAY_MS
        await self.add(Status.FAILED, ended_ms=old, goes=True, outputs=(2, 1))
        await self.add(Status.CANCELLED, ended_ms=old, goes=True)
        await self.add(Status.EXPIRED, ended_ms=old, goes=True)
        await self.add(Status.COMPLETED, ended_ms=old, goes=True, outputs=(2, 1))
        await self.add(Status.COMPLETED, ended_ms=now, goes=False, outputs=(2, 1))
        await self.add(Status.PROCESSING, ended_ms=now, goes=False, outputs=(3, 1))
        await self.add(Status.FAILED, ended_ms=now, goes=False)
        await self.add_file(FileStatus.DELETED, updated_ms=old, goes=True)
        await self.add_file(FileStatus.DELETED, updated_ms=now, goes=False)
        unused = await self.add_file(FileStatus.UPLOADED, updated_ms=old, goes=True)
        await self.put(unused.key, goes=True)
        young = await self.add_file(FileStatus.UPLOADED, updated_ms=now, goes=False)
        await self.put(young.key, goes=False)
        await self.put(f"t/{OWNER}/out/{new_id()}/1/lost.pdf", goes=True)
        self.going.add(await self.objects.start_multipart(source_key(OWNER, new_id(), 1), content_type="a/b"))

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}/libs:{ROOT}/services", **self.environment}
        command = [sys.executable, "-m", "file_service.housekeeping", *arguments]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        """Run to the end; return exit status, output and log."""
        process = await self.start(*arguments)
        out, log = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode(), log.decode()

    async def listed(self) -> set[str]:
        status, out, log = await self.run("--dry-run", "--json")
        assert status == 0, log
        return {line["id"] for line in map(json.loads, out.splitlines()) if "id" in line}

    async def existing(self) -> dict[str, str]:
        """Return the status of each record, and "there" for each object and upload, by id or key."""
        ids = sorted(self.going | self.staying)
        records = [*await self.stores.conversions.get_many(ids), *await self.stores.files.get_many(ids)]
        uploads = await self.objects.list_uploads("t/", after=None, limit=1000)
        assert uploads is not None
        there = [*(upload.upload_id for upload in uploads.uploads), *await self.objects.list_keys("t/")]
        return {record.id: record.status.value for record in records} | dict.fromkeys(there, "there")

    async def close(self) -> None:
        await self.objects.close()
        await self.stores.close()


@pytest.fixture
async def system(servers: Any) -> AsyncIterator[System]:
    name = secrets.token_hex(4)
    own = {"CONVERTO_MONGODB_DATABASE": f"keeping_{name}", "CONVERTO_S3_BUCKET": f"keeping-{name}"}
    one = System({**servers.environment, **SHORT_TIMES, **own})
    await one.objects.ensure_bucket()
    await one.stores.ensure_indexes()
    yield one
    await one.close()


async def test_three_processes_remove_exactly_what_the_dry_run_listed(system: System) -> None:
    """I10: dry run, several instances at once, records first, on the servers that users have."""
    await system.fill()
    before = await system.existing()
    async with asyncio.timeout(60):
        while (listed := await system.listed()) != system.going:
            # The youngest orphans are not two seconds old yet; the dry run never lists more than what may go.
            assert listed < system.going, listed - system.going
    assert await system.existing() == before

    ended = await asyncio.gather(*(system.run("--once") for _ in range(3)))

    assert [status for status, _, _ in ended] == [0, 0, 0], ended
    after = await system.existing()
    assert {name for name, status in before.items() if after.get(name) != status} == system.going
    assert await system.listed() == set()
    done = [json.loads(line) for _, _, log in ended for line in log.splitlines() if "housekeeping.done" in line]
    for name, count in {"results": 1, "failures": 2, "records": 1, "files": 1, "sources": 1}.items():
        assert sum(entry[name] for entry in done) == count, (name, done)


async def test_unknown_sweep_exits_with_status_2_and_the_names(system: System) -> None:
    status, _, log = await system.run("--once", "--only", "failures,lunch")

    assert status == 2
    assert "Unknown sweep: lunch. Available sweeps: reaper, " in log


async def test_absent_database_exits_with_status_1(system: System) -> None:
    system.environment |= {"CONVERTO_MONGODB_URL": "mongodb://127.0.0.1:9", "CONVERTO_MONGODB_TIMEOUT_S": "0.3"}
    once, dry = await system.run("--once", "--only", "failures"), await system.run("--dry-run", "--only", "failures")

    assert (once[0], dry[0]) == (1, 1)
    assert "sweep.waits" in once[2]
    assert "The list is incomplete: The database is not reachable" in dry[2]


async def test_command_looks_at_all_waiting_uploads(system: System) -> None:
    """C7: after hours without upload events, an operator need not wait for the next look."""
    arrived = await system.add_file(FileStatus.AWAITING_UPLOAD, updated_ms=now_ms(), goes=False)
    missing = await system.add_file(FileStatus.AWAITING_UPLOAD, updated_ms=now_ms(), goes=False)
    await system.put(arrived.key, goes=False)
    status, _, log = await system.run("--look-at-uploads")
    found = {file.id: file.status for file in await system.stores.files.get_many([arrived.id, missing.id])}
    system.environment |= {"CONVERTO_S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    away, _, away_log = await system.run("--look-at-uploads")

    assert status == 0, log
    assert found == {arrived.id: FileStatus.UPLOADED, missing.id: FileStatus.AWAITING_UPLOAD}
    assert away == 1
    assert "Not all uploads were looked at" in away_log


async def test_bucket_of_another_database_is_left_alone(system: System) -> None:
    """An empty database, set by mistake, must not empty the bucket."""
    await system.fill()
    assert (await system.run("--once", "--only", "orphans"))[0] == 0
    before = await system.objects.list_keys("")
    system.environment |= {"CONVERTO_MONGODB_DATABASE": f"wrong_{secrets.token_hex(4)}"}
    status, _, log = await system.run("--once", "--only", "orphans,open_uploads")

    assert status == 0
    assert "bucket.belongs_to_another_database" in log
    assert await system.objects.list_keys("") == before
