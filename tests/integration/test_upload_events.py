"""Uploads that S3 itself reports through SQS (C7): presigned PUTs and multipart uploads, without any confirmation.

moto plays S3, SQS and EventBridge over HTTP; the adapters and the file service are the real ones. The database and the
broker are in memory, because other suites cover them, except in the last test.
"""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from converto_core.access import NewIds, new_key_text
from converto_core.catalogue import Worker
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.files.record import File, FileStatus
from converto_core.formats import Family
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import source_key
from converto_infra.memory.stores import MemoryEventBus, MemoryStores
from converto_infra.mongo.stores import MongoStores
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import MIB, Settings
from converto_infra.sqs.events import SqsUploadEvents
from file_service.app import FileService
from file_service.conversions.submission import Created
from file_service.http.schemas.conversions import NewConversion
from file_service.http.schemas.files import MultipartUpload, NewFile, SingleUpload
from tests.aws import REGION, ReportedBucket
from tests.servers import Servers
from tests.unit.file_service.conftest import PNG, offers

ROOT = Path(__file__).resolve().parents[2]
OWNER = "anna+b ä"
"""An owner whose key S3 encodes in its event."""
WITHIN_S = 20.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that happens in a server."""
    async with asyncio.timeout(WITHIN_S):
        while not await holds():  # noqa: ASYNC110 - the server cannot notify
            await asyncio.sleep(0.02)


class System:
    """A file service on a bucket whose uploads are reported."""

    def __init__(self, bucket: ReportedBucket, settings: Settings) -> None:
        self.bucket, self.settings = bucket, settings
        self.stores, self.bus = MemoryStores(), MemoryEventBus()
        self.objects = S3ObjectStore.connect(settings)
        self.events = SqsUploadEvents(settings, bucket.queue_url, wait_s=1)
        self.service = FileService(settings, self.stores, self.objects, self.bus, upload_events=self.events)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["System"]:
        worker = Worker(
            id="w1", host="h", pid=1, started_at=0, seen_at=now_ms(), slots=2, sandbox="off", offers=offers()
        )
        await self.stores.workers.put(worker)
        try:
            async with self.service.running():
                yield self
        finally:
            await self.events.close()
            await self.objects.close()

    async def create(self, body: bytes, **file: Any) -> Created:
        new = NewConversion(target_format="webp", file=NewFile(filename="a.png", size_bytes=len(body), **file))
        submission = self.service.wiring.submission
        return await submission.create(OWNER, new, NewIds(conversion_id=new_id(), file_id=new_id()))

    async def put(self, created: Created, body: bytes) -> None:
        """Send the presigned PUT as a browser does; nothing else comes from this client."""
        assert isinstance(created.upload, SingleUpload)
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.put(created.upload.url, content=body, headers=created.upload.headers)
        assert answer.status_code == 200, answer.text

    async def put_parts(self, created: Created, body: bytes) -> None:
        """Send all parts by presigned PUTs; joining them is left to the service."""
        assert isinstance(created.upload, MultipartUpload)
        size, numbers = created.upload.part_size_bytes, range(1, created.upload.part_count + 1)
        requests = await self.service.wiring.files.presign_parts(OWNER, created.file.id, list(numbers))
        async with httpx2.AsyncClient(trust_env=False) as client:
            for number, request in enumerate(requests):
                answer = await client.put(request.url, content=body[number * size : (number + 1) * size])
                assert answer.status_code == 200, answer.text

    async def record(self, created: Created) -> Conversion:
        found = await self.stores.conversions.get(created.conversion.id)
        assert found is not None
        return found

    async def file(self, created: Created) -> File:
        found = await self.stores.files.get(created.file.id)
        assert found is not None
        return found

    async def until_status(self, created: Created, status: Status) -> None:
        async def has_status() -> bool:
            return (await self.record(created)).status is status

        await until(has_status)

    async def until_empty(self) -> None:
        async def is_empty() -> bool:
            return await asyncio.to_thread(self.bucket.count, self.bucket.queue_url) == 0

        await until(is_empty)


@pytest.fixture
def bucket(aws: str) -> ReportedBucket:
    one = ReportedBucket(aws, max_deliveries=2)
    one.report_uploads()
    return one


@pytest.fixture
async def system(bucket: ReportedBucket) -> AsyncIterator[System]:
    settings = bucket.settings(sweep_interval_s=3600)
    async with System(bucket, settings).running() as one:
        yield one


async def test_presigned_put_is_converted_without_confirmation(system: System) -> None:
    created = await system.create(PNG)
    await system.put(created, PNG)

    await system.until_status(created, Status.PENDING)

    await system.until_empty()  # the test event of S3 included
    assert (await system.file(created)).status is FileStatus.UPLOADED
    assert system.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1
    assert system.bucket.count(system.bucket.dead_url) == 0


async def test_joined_parts_are_reported_to_whoever_missed_it(system: System) -> None:
    """The service that joined the parts died before it wrote the record; S3's event reaches another one."""
    body = PNG.ljust(6 * MIB, b"\0")
    created = await system.create(body, multipart=True)
    await system.put_parts(created, body)
    file = await system.file(created)
    parts = await system.objects.list_parts(file.key, str(file.upload_id))
    await system.objects.complete_multipart(file.key, str(file.upload_id), parts)

    await system.until_status(created, Status.PENDING)

    await system.until_empty()
    assert (await system.file(created)).upload_id is None


async def test_parts_of_a_dead_client_are_joined_by_the_sweep(bucket: ReportedBucket) -> None:
    """No event tells that the last part has arrived."""
    settings = bucket.settings(sweep_interval_s=0.1, upload_looks_s=(0.5, 1, 2, 4))
    body = PNG.ljust(6 * MIB, b"\0")
    async with System(bucket, settings).running() as system:
        created = await system.create(body, multipart=True)
        await system.put_parts(created, body)

        await system.until_status(created, Status.PENDING)
        await system.until_empty()

    assert system.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1


async def test_events_and_confirmations_at_once_start_one_conversion(system: System) -> None:
    created = await system.create(PNG)
    await system.put(created, PNG)
    confirm = system.service.wiring.starter.confirm_upload
    await asyncio.gather(*(confirm(OWNER, created.file.id) for _ in range(3)))

    await system.until_empty()

    assert (await system.record(created)).changes == 2
    assert system.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1


async def test_overwritten_upload_in_a_versioned_bucket_starts_once(system: System) -> None:
    """Two versions of one object send two events, which may come in any order."""
    versioning = {"Status": "Enabled"}
    system.bucket.s3.put_bucket_versioning(Bucket=system.bucket.bucket, VersioningConfiguration=versioning)
    created = await system.create(PNG)
    await system.put(created, PNG[::-1])
    await system.put(created, PNG)

    await system.until_empty()

    assert (await system.record(created)).changes == 2


async def test_outputs_and_foreign_objects_are_not_reported(system: System) -> None:
    for key in (f"t/{OWNER}/out/{new_id()}/1/a.webp", "logs/source", f"t/{OWNER}/in/{new_id()}/1/other"):
        await system.objects.put(key, b"x", content_type="a/b")
    unknown = source_key(OWNER, new_id(), 1)
    await system.objects.put(unknown, b"x", content_type="a/b")

    await system.until_empty()

    assert system.bucket.count(system.bucket.dead_url) == 0


async def test_uploads_reported_by_eventbridge_are_converted(aws: str) -> None:
    """Its events have another form, in which keys are not encoded."""
    bucket = ReportedBucket(aws)
    bucket.report_uploads_by_eventbridge()
    async with System(bucket, bucket.settings(sweep_interval_s=3600)).running() as system:
        created = await system.create(PNG)
        await system.put(created, PNG)

        await system.until_status(created, Status.PENDING)
        await system.until_empty()


async def test_unreadable_message_is_left_to_the_redrive_policy(system: System) -> None:
    """It stays in the queue, from which SQS moves it to the dead letters; the events after it are handled."""
    created = await system.create(PNG)
    system.bucket.send("<xml/>")
    await system.put(created, PNG)
    await system.until_status(created, Status.PENDING)

    async def is_left_alone() -> bool:
        return await asyncio.to_thread(system.bucket.count, system.bucket.queue_url) == 1

    await until(is_left_alone)


async def test_database_outage_postpones_and_loses_no_event(system: System) -> None:
    """C8: the event waits in the queue and is handled when the database is back."""
    created = await system.create(PNG)
    system.stores.is_away = True
    await system.put(created, PNG)

    async def is_hidden() -> bool:
        names = ["ApproximateNumberOfMessagesNotVisible"]
        found = await asyncio.to_thread(
            system.bucket.sqs.get_queue_attributes, QueueUrl=system.bucket.queue_url, AttributeNames=names
        )
        return int(found["Attributes"][names[0]]) == 1

    await until(is_hidden)
    kept = system.bucket.count(system.bucket.queue_url)
    system.stores.is_away = False
    await system.until_status(created, Status.PENDING)
    await system.until_empty()

    assert kept == 1


async def test_stop_ends_the_consumer_within_its_wait(bucket: ReportedBucket) -> None:
    async with asyncio.timeout(10), System(bucket, bucket.settings(sweep_interval_s=3600)).running():
        await asyncio.sleep(0)


async def test_process_with_a_queue_confirms_reported_uploads(bucket: ReportedBucket, servers: Servers) -> None:
    """The service as it is started in production, with a real database and broker; it stops within its grace."""
    database, address = f"events_{secrets.token_hex(8)}", f"http://127.0.0.1:{free_port()}"
    settings = bucket.settings(mongodb_url=servers.mongodb_url, mongodb_database=database)
    key = new_key_text()
    stores = MongoStores.connect(settings)
    worker = Worker(id="w1", host="h", pid=1, started_at=0, seen_at=now_ms(), slots=2, sandbox="off", offers=offers())
    await stores.workers.put(worker)
    environment = {
        **os.environ,
        **servers.environment,
        "PYTHONPATH": f"{ROOT}/libs:{ROOT}/services",
        "CONVERTO_MONGODB_DATABASE": database,
        "CONVERTO_PORT": address.rpartition(":")[2],
        "CONVERTO_S3_ENDPOINT_URL": bucket.endpoint_url,
        "CONVERTO_S3_BUCKET": bucket.bucket,
        "CONVERTO_S3_REGION": REGION,
        "CONVERTO_S3_CREATE_BUCKET": "false",
        "CONVERTO_UPLOAD_EVENTS_QUEUE_URL": bucket.queue_url,
        "CONVERTO_UPLOAD_LOOKS_S": "",
        "CONVERTO_BOOTSTRAP_API_KEY": key,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "file_service",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with httpx2.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=10) as http:
            await until(lambda: is_ready(http))
            wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": len(PNG)}}
            created = (await http.post("/api/v1/conversions", json=wanted)).json()
            put = await http.put(created["upload"]["url"], content=PNG, headers=created["upload"]["headers"])
            assert put.status_code == 200

            async def is_pending() -> bool:
                found = await http.get(f"/api/v1/conversions/{created['conversion']['id']}")
                return bool(found.json()["status"] == "pending")

            await until(is_pending)
    finally:
        process.terminate()
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
        await stores.close()

    assert process.returncode == 0, output.decode()
    assert b'"found": "confirmed"' in output, output.decode()


async def is_ready(http: httpx2.AsyncClient) -> bool:
    with suppress(httpx2.HTTPError):
        return (await http.get("/api/health/ready")).status_code == 200
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
