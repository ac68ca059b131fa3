"""The sweep that looks at uploads which nobody has confirmed (C7, M1): when, how often, and what it does with them."""

import asyncio
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from converto_core.catalogue import Worker
from converto_core.conversion.record import Conversion, Status
from converto_core.errors import DependencyUnavailable, ObjectStoreUnavailable, StoreUnavailable
from converto_core.files.record import File, FileStatus
from converto_core.ids import new_id
from converto_core.ports.objects import ObjectInfo, UploadedPart
from converto_infra.memory.stores import MemoryObjectStore
from file_service.conversions.offers import NoWorker
from file_service.housekeeping.failures import FAILURES_IN_A_ROW
from file_service.housekeeping.retention.removal import BATCH
from file_service.housekeeping.sweeps import Sweeps
from file_service.housekeeping.trusted_time import TrustedTime
from file_service.housekeeping.waiting_uploads import WaitingUploads
from file_service.http.schemas.files import NewFile
from file_service.uploads.files import Files
from file_service.uploads.unattended import ConfirmUpload
from file_service.wiring import Wiring, build_wiring, look_schedule
from tests.unit.file_service.conftest import offers
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, MemoryServers
from tests.unit.file_service.housekeeping.records import OWNER

TEXT = b"some words"
MINUTE_S = 60.0


class CountedObjects(MemoryObjectStore):
    """Counts the requests that a look makes, and fails those about the keys `refused`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.requests: Counter[str] = Counter()
        self.refused = set[str]()

    async def read_range(self, key: str, *, start: int, length: int) -> bytes:
        self._check(key)
        return await super().read_range(key, start=start, length=length)

    def _check(self, key: str) -> None:
        if key in self.refused:
            raise ObjectStoreUnavailable(detail="HeadObject: 403")

    async def head(self, key: str) -> ObjectInfo | None:
        self.requests["head"] += 1
        self._check(key)
        return await super().head(key)

    async def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        self.requests["list_parts"] += 1
        return await super().list_parts(key, upload_id)


class Waiting(MemoryServers):
    """Uploads that wait, in a file service whose use cases are the real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: CountedObjects = CountedObjects(clock=self.now_ms)
        self.wiring: Wiring = build_wiring(self.settings, self.stores, self.objects, self.bus)
        self.sweep_of_one = self.another_sweep()
        self.deadline = Sweeps(
            self.settings,
            self.stores,
            self.objects,
            self.bus,
            confirm_upload=self._confirm,
            monotonic=lambda: self.passed_s,
            now_ms=self.now_ms,
        ).uploads

    @property
    def files(self) -> Files:
        return self.wiring.files

    def another_sweep(self, *, ahead_s: float = 0.0, confirm: ConfirmUpload | None = None) -> WaitingUploads:
        """The sweep of another process, whose clock may be ahead."""

        def now_ms() -> int:
            return self.now_ms() + int(ahead_s * 1000)

        return WaitingUploads(
            self.stores.conversions,
            self.stores.files,
            looks=look_schedule(self.settings),
            confirm_upload=confirm or self._confirm,
            time=TrustedTime(self.objects, now_ms),
            now_ms=now_ms,
        )

    async def _confirm(self, file_id: str) -> None:
        await self.wiring.starter.confirm_upload(None, file_id)

    async def put_worker(self) -> None:
        worker = Worker(
            id="w1", host="h", pid=1, started_at=0, seen_at=self.now_ms(), slots=2, sandbox="off", offers=offers()
        )
        await self.stores.workers.put(worker)

    async def add_upload(self, **fields: Any) -> tuple[File, Conversion]:
        """A file of ten bytes with a conversion that waits for it."""
        due_ms = self.now_ms() + int(MINUTE_S * 1000)
        start = {"size_bytes": len(TEXT), "look_due": due_ms, "filename": "a.txt"}
        file = await self.add_file(FileStatus.AWAITING_UPLOAD, **{**start, **fields})
        return file, await self.add(Status.AWAITING_UPLOAD, file_id=file.id)

    async def add_multipart(self, *parts: bytes, size_bytes: int = len(TEXT)) -> tuple[File, Conversion]:
        """An upload in two parts, of which these have arrived."""
        upload_id = await self.objects.start_multipart("t/anna/in/1/1/source", content_type="text/plain")
        file, record = await self.add_upload(
            key="t/anna/in/1/1/source", upload_id=upload_id, part_size_bytes=5, size_bytes=size_bytes
        )
        await self.put_parts(file, *parts)
        return file, record

    async def put_parts(self, file: File, *parts: bytes) -> None:
        numbers = list(range(1, len(parts) + 1))
        for request, body in zip(
            await self.objects.presign_parts(file.key, str(file.upload_id), numbers), parts, strict=True
        ):
            await self.objects.send(request, body)

    async def put(self, file: File, body: bytes = TEXT) -> None:
        await self.objects.put(file.key, body, content_type="text/plain")

    async def file(self, file: File) -> File:
        found = await self.stores.files.get(file.id)
        assert found is not None
        return found

    async def status(self, record: Conversion) -> Status:
        return (await self.reload(record)).status


@pytest.fixture
async def servers() -> Waiting:
    one = Waiting()
    await one.put_worker()
    return one


async def test_arrived_upload_is_converted_after_a_minute(servers: Waiting) -> None:
    """M1: the client may be gone; nobody waits a day."""
    file, record = await servers.add_upload()
    await servers.put(file)
    early = await servers.sweep_of_one.sweep()
    servers.passed_s += MINUTE_S
    late = await servers.sweep_of_one.sweep()

    assert (early, late) == (0, 1)
    assert await servers.status(record) is Status.PENDING
    assert ((await servers.file(file)).status, (await servers.file(file)).look_due) == (FileStatus.UPLOADED, None)


async def test_new_upload_is_scheduled_for_its_first_look(servers: Waiting) -> None:
    file, _ = await servers.files.create(OWNER, NewFile(filename="a.txt", size_bytes=3), new_id())

    assert file.look_due is not None
    assert file.look_due - file.created_at == MINUTE_S * 1000


async def test_missing_upload_is_looked_at_once_per_age(servers: Waiting) -> None:
    """One HEAD at each age, however often the sweep runs, and none between the last age and the deadline."""
    _, record = await servers.add_upload()
    looks = list[float]()
    while servers.passed_s < DAY_S - 60:
        before = servers.objects.requests.total()
        await servers.sweep_of_one.sweep()
        looks += [servers.passed_s / MINUTE_S] * (servers.objects.requests.total() - before)
        servers.passed_s += 30

    assert looks == [1, 5, 15, 60, 240, 720]
    assert servers.objects.requests == {"head": 6}
    assert await servers.status(record) is Status.AWAITING_UPLOAD


async def test_many_services_look_at_an_upload_once_per_age(servers: Waiting) -> None:
    for _ in range(7):
        await servers.add_upload()
    sweeps = [servers.another_sweep() for _ in range(5)]
    for _ in range(3):
        servers.passed_s += MINUTE_S
        await asyncio.gather(*(sweep.sweep() for sweep in sweeps))

    assert servers.objects.requests["head"] == 7


async def test_services_that_were_down_look_once_when_back(servers: Waiting) -> None:
    file, _ = await servers.add_upload()
    servers.passed_s += 20 * MINUTE_S
    await servers.sweep_of_one.sweep()
    looked = servers.objects.requests["head"]

    assert looked == 1
    assert (await servers.file(file)).look_due == servers.now_ms() + int(4 * MINUTE_S * 1000)


async def test_look_is_due_soon_again_after_a_failure(servers: Waiting) -> None:
    """An error at four hours must not postpone an upload to twelve."""
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += 241 * MINUTE_S
    servers.objects.refused = {file.key}
    with pytest.raises(ObjectStoreUnavailable):
        await servers.sweep_of_one.sweep()
    servers.objects.refused.clear()
    servers.passed_s += MINUTE_S

    assert await servers.sweep_of_one.sweep() == 1
    assert await servers.status(record) is Status.PENDING


async def test_uploads_that_always_fail_delay_no_other(servers: Waiting) -> None:
    """The store refuses some objects, as S3 does without the right to their keys; the sweep looks at the others."""
    refused = [await servers.add_upload() for _ in range(90)]
    servers.objects.refused = {file.key for file, _ in refused}
    uploads = [await servers.add_upload() for _ in range(5)]
    for file, _ in uploads:
        await servers.put(file)
    behind = await left_behind(servers)
    servers.passed_s += MINUTE_S + 1
    with pytest.raises(ObjectStoreUnavailable):
        await servers.sweep_of_one.sweep()

    assert {await servers.status(record) for _, record in [*uploads, (None, behind)]} == {Status.PENDING}
    assert servers.objects.requests["head"] == 95
    assert await servers.sweep_of_one.sweep() == 0
    assert servers.objects.requests["head"] == 95


async def test_sweep_stops_when_the_store_goes_away(servers: Waiting) -> None:
    """A few failures in a row are an outage if the store does not answer otherwise either."""
    uploads = [await servers.add_upload() for _ in range(50)]
    servers.objects.refused = {file.key for file, _ in uploads}
    behind = await left_behind(servers)
    servers.passed_s += MINUTE_S + 1
    clock_reads, now_ms = 0, servers.objects.now_ms

    async def now_ms_once() -> int:
        nonlocal clock_reads
        clock_reads += 1
        servers.objects.is_away = clock_reads > 1
        return await now_ms()

    servers.objects.now_ms = now_ms_once  # type: ignore[method-assign]
    with pytest.raises(ObjectStoreUnavailable) as first:
        await servers.sweep_of_one.sweep()

    assert first.value.detail == "HeadObject: 403"
    assert servers.objects.requests["head"] == FAILURES_IN_A_ROW
    assert await servers.status(behind) is Status.PENDING


async def test_no_look_is_taken_while_the_store_is_away(servers: Waiting) -> None:
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += MINUTE_S
    servers.objects.is_away = True
    with pytest.raises(ObjectStoreUnavailable):
        await servers.sweep_of_one.sweep()
    servers.objects.is_away = False

    assert await servers.sweep_of_one.sweep() == 1
    assert await servers.status(record) is Status.PENDING


async def test_look_at_all_goes_on_after_a_failure(servers: Waiting) -> None:
    refused, _ = await servers.add_upload()
    servers.objects.refused = {refused.key}
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += 1
    with pytest.raises(ObjectStoreUnavailable):
        await servers.sweep_of_one.look_at_all()

    assert await servers.status(record) is Status.PENDING


async def test_clock_that_is_ahead_skips_no_look(servers: Waiting) -> None:
    """A process whose clock is 13 h ahead would take all looks at once, before anything has arrived."""
    file, _ = await servers.add_upload()
    ahead = servers.another_sweep(ahead_s=13 * 3600)
    await ahead.sweep()
    early = await servers.file(file)
    servers.passed_s += MINUTE_S
    await ahead.sweep()
    late = await servers.file(file)

    assert early.look_due == file.created_at + 60_000
    assert late.look_due == file.created_at + 300_000


async def test_conversion_that_cannot_start_delays_no_other(servers: Waiting) -> None:
    """One is left behind by an outage of its object, and is tried again until it starts."""
    behind = [await left_behind(servers, detected_format=None) for _ in range(3)]
    (file,) = await servers.stores.files.get_many([behind[0].file_id])
    servers.objects.refused = {file.key}
    servers.passed_s += MINUTE_S + 1
    with pytest.raises(ObjectStoreUnavailable):
        await servers.sweep_of_one.sweep()
    early = [await servers.status(record) for record in behind]
    servers.objects.refused.clear()
    servers.passed_s += MINUTE_S

    assert early == [Status.AWAITING_UPLOAD, Status.PENDING, Status.PENDING]
    assert await servers.sweep_of_one.sweep() == 1
    assert await servers.status(behind[0]) is Status.PENDING


async def test_conversion_that_breaks_the_sweep_delays_no_other(servers: Waiting) -> None:
    """A record that no code can handle, such as one of a format that was removed, is a bug, but ends no sweep."""
    broken = await left_behind(servers, detected_format="a-format-of-old")
    behind = await left_behind(servers)
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += MINUTE_S + 1
    with capture_logs() as logs:
        confirmed = await servers.sweep_of_one.sweep()

    assert confirmed == 2
    assert {await servers.status(one) for one in (behind, record)} == {Status.PENDING}
    assert await servers.status(broken) is Status.AWAITING_UPLOAD
    assert [one["id"] for one in logs if one["event"] == "sweep.record_broken"] == [broken.file_id]
    assert [one["count"] for one in logs if one["event"] == "sweep.records_failed"] == [1]


async def test_record_that_always_fails_is_tried_more_and_more_seldom(servers: Waiting) -> None:
    """The sweep runs every six seconds; ten thousand of them would be a load of their own."""
    behind = await left_behind(servers, detected_format=None)
    (file,) = await servers.stores.files.get_many([behind.file_id])
    servers.objects.refused = {file.key}
    tries = list[float]()
    servers.passed_s += MINUTE_S + 1
    while servers.passed_s < 3600:
        try:
            await servers.sweep_of_one.sweep()
        except ObjectStoreUnavailable:
            tries.append(servers.passed_s / MINUTE_S)
        servers.passed_s += 6

    pauses = [round(later - earlier) for earlier, later in pairwise(tries)]
    assert pauses == [1, 2, 4, 8, 16]


async def test_look_that_always_fails_is_taken_more_and_more_seldom(servers: Waiting) -> None:
    file, _ = await servers.add_upload()
    servers.objects.refused = {file.key}
    while servers.passed_s < DAY_S - 60:
        with suppress(ObjectStoreUnavailable):
            await servers.sweep_of_one.sweep()
        servers.passed_s += 30

    assert 20 < servers.objects.requests["head"] < 40


async def test_backlog_of_many_pages_is_looked_at_in_one_sweep(servers: Waiting) -> None:
    """After hours with everything down, all looks are due at once; some fail for themselves."""
    files = [await servers.add_file(FileStatus.AWAITING_UPLOAD, size_bytes=10, look_due=1) for _ in range(7 * BATCH)]
    for file in files:
        await servers.put(file)
    servers.objects.refused = {file.key for file in files[::BATCH]}
    servers.passed_s += 3 * 3600
    with pytest.raises(ObjectStoreUnavailable):
        await servers.another_sweep().sweep()
    left = await servers.stores.files.abandoned(created_before_ms=servers.now_ms(), limit=10)
    servers.objects.refused = set()
    servers.passed_s += MINUTE_S

    assert len(left) == 7
    assert await servers.another_sweep().sweep() == 7


async def test_process_that_dies_in_a_look_costs_a_minute(servers: Waiting) -> None:
    """The next age may be hours away: after five hours it is at twelve."""
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += 5 * 3600
    is_looking = asyncio.Event()

    async def confirm(_: str) -> None:
        is_looking.set()
        await asyncio.Event().wait()

    dying = asyncio.create_task(servers.another_sweep(confirm=confirm).sweep())
    await is_looking.wait()
    dying.cancel()
    servers.passed_s += MINUTE_S
    await servers.another_sweep().sweep()

    assert await servers.status(record) is Status.PENDING


async def test_look_that_was_due_during_an_outage_comes_after_it(servers: Waiting) -> None:
    """Everything was down when the upload arrived and its look was due; another process looks at its first sweep."""
    file, record = await servers.add_upload()
    servers.stores.is_away = servers.objects.is_away = True
    servers.passed_s += 90
    with pytest.raises(DependencyUnavailable):
        await servers.sweep_of_one.sweep()
    servers.stores.is_away = servers.objects.is_away = False
    await servers.put(file)
    servers.passed_s += 1
    await servers.another_sweep().sweep()

    assert await servers.status(record) is Status.PENDING


@pytest.mark.parametrize("away", ["database", "object store"])
async def test_outage_in_the_middle_of_a_look_costs_a_minute(servers: Waiting, away: str) -> None:
    """The look is taken, and then its HEAD or the update after it fails."""
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += 5 * 3600
    found = servers.objects.head

    async def head(key: str) -> ObjectInfo | None:
        servers.stores.is_away, servers.objects.is_away = away == "database", away == "object store"
        return await found(key)

    servers.objects.head = head  # type: ignore[method-assign]
    with pytest.raises(DependencyUnavailable):
        await servers.sweep_of_one.sweep()
    servers.stores.is_away = servers.objects.is_away = False
    servers.objects.head = found  # type: ignore[method-assign]
    servers.passed_s += MINUTE_S
    await servers.another_sweep().sweep()

    assert await servers.status(record) is Status.PENDING


async def test_refused_upload_stays_for_its_client_until_the_deadline(servers: Waiting) -> None:
    file, record = await servers.add_upload()
    await servers.put(file, b"other bytes")
    servers.passed_s += MINUTE_S
    await servers.sweep_of_one.sweep()

    assert await servers.objects.head(file.key) is not None
    assert await servers.status(record) is Status.AWAITING_UPLOAD


async def test_refused_upload_expires_at_the_deadline(servers: Waiting) -> None:
    """I10: the records change first, then its bytes go."""
    file, record = await servers.add_upload()
    await servers.put(file, b"other bytes")
    servers.passed_s += DAY_S + 1
    await servers.deadline.sweep()

    assert await servers.status(record) is Status.EXPIRED
    assert (await servers.file(file)).status is FileStatus.DELETED
    assert await servers.objects.head(file.key) is None


async def test_all_uploads_can_be_looked_at_at_once(servers: Waiting) -> None:
    """After hours without events, nobody has to wait for the next look."""
    arrived, record = await servers.add_upload()
    missing, other = await servers.add_upload()
    servers.passed_s += 120 * MINUTE_S
    await servers.sweep_of_one.sweep()
    await servers.put(arrived)
    due_ms = (await servers.file(missing)).look_due

    assert await servers.sweep_of_one.sweep() == 0
    assert await servers.sweep_of_one.look_at_all() == 1
    assert (await servers.status(record), await servers.status(other)) == (Status.PENDING, Status.AWAITING_UPLOAD)
    assert (await servers.file(missing)).look_due == due_ms


async def test_file_without_a_conversion_is_confirmed_too(servers: Waiting) -> None:
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD, size_bytes=len(TEXT), look_due=servers.now_ms() + 60_000)
    await servers.put(file)
    servers.passed_s += MINUTE_S

    assert await servers.sweep_of_one.sweep() == 1
    assert (await servers.file(file)).status is FileStatus.UPLOADED


async def test_file_without_a_conversion_is_confirmed_at_the_deadline(servers: Waiting) -> None:
    """It arrived after the last look, and its client never asked for a conversion."""
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD, size_bytes=len(TEXT))
    await servers.put(file)
    servers.passed_s += DAY_S + 1

    assert await servers.deadline.sweep() == 1
    assert (await servers.file(file)).status is FileStatus.UPLOADED


# Uploads in parts


async def test_parts_that_have_all_arrived_are_joined(servers: Waiting) -> None:
    """The client died after its last part; the object store reports nothing before the parts are joined."""
    file, record = await servers.add_multipart(TEXT[:5], TEXT[5:])
    servers.passed_s += MINUTE_S
    await servers.sweep_of_one.sweep()

    assert await servers.status(record) is Status.PENDING
    assert await servers.objects.read_range(file.key, start=0, length=99) == TEXT


async def test_missing_part_costs_one_request_per_look(servers: Waiting) -> None:
    file, record = await servers.add_multipart(TEXT[:5])
    servers.passed_s += MINUTE_S
    await servers.sweep_of_one.sweep()

    assert servers.objects.requests == {"list_parts": 1}
    assert await servers.status(record) is Status.AWAITING_UPLOAD
    assert len(await servers.objects.list_parts(file.key, str(file.upload_id))) == 1


async def test_parts_of_the_wrong_size_are_left_to_the_client(servers: Waiting) -> None:
    """Joining cannot be undone; the client may still replace the damaged part."""
    file, record = await servers.add_multipart(TEXT[:5], TEXT[5:7])
    servers.passed_s += MINUTE_S
    await servers.sweep_of_one.sweep()
    kept = len(await servers.objects.list_parts(file.key, str(file.upload_id)))
    await servers.put_parts(file, TEXT[:5], TEXT[5:])
    servers.passed_s += 4 * MINUTE_S
    await servers.sweep_of_one.sweep()

    assert kept == 2
    assert await servers.status(record) is Status.PENDING


async def test_parts_that_arrived_before_the_deadline_are_joined_then(servers: Waiting) -> None:
    file, record = await servers.add_multipart()
    servers.passed_s += DAY_S - 1
    await servers.put_worker()
    await servers.sweep_of_one.sweep()
    await servers.put_parts(file, TEXT[:5], TEXT[5:])
    servers.passed_s += 2
    await servers.deadline.sweep()

    assert await servers.status(record) is Status.PENDING


async def test_joined_upload_whose_service_died_is_confirmed(servers: Waiting) -> None:
    file, record = await servers.add_multipart(TEXT[:5], TEXT[5:])
    parts = await servers.objects.list_parts(file.key, str(file.upload_id))
    await servers.objects.complete_multipart(file.key, str(file.upload_id), parts)
    servers.passed_s += MINUTE_S
    await servers.sweep_of_one.sweep()

    assert await servers.status(record) is Status.PENDING


# New URLs


async def test_client_with_new_urls_is_looked_at_when_they_expire(servers: Waiting) -> None:
    """An upload that is resumed hours later is not left to the look at twelve hours."""
    file, _ = await servers.add_multipart(TEXT[:5])
    file = await servers.file(file)
    assert await servers.stores.files.take_look(file, next_due_ms=servers.now_ms() + 10 * 3600 * 1000)

    await servers.files.presign_parts(OWNER, file.id, [2])

    look_due = (await servers.file(file)).look_due
    assert look_due is not None
    assert abs(look_due - servers.now_ms() - 900_000) < 5_000


async def test_fresh_upload_brings_the_look_forward(servers: Waiting) -> None:
    file, _ = await servers.add_upload(look_due=None)

    fresh, _ = await servers.files.fresh_upload(OWNER, file.id)

    assert fresh.look_due is not None
    assert abs(fresh.look_due - servers.now_ms() - 900_000) < 5_000


# Conversions left behind


async def left_behind(servers: Waiting, *, detected_format: str | None = "txt") -> Conversion:
    """A conversion that waits although its file is uploaded: the process died between the two updates."""
    file = await servers.add_file(
        FileStatus.UPLOADED, size_bytes=len(TEXT), detected_format=detected_format, detected_type="text/plain"
    )
    await servers.put(file)
    return await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)


async def test_conversion_left_behind_is_started(servers: Waiting) -> None:
    record = await left_behind(servers)
    early = await servers.sweep_of_one.sweep()
    servers.passed_s += MINUTE_S + 1
    late = await servers.sweep_of_one.sweep()

    assert (early, late) == (0, 1)
    assert await servers.status(record) is Status.PENDING


async def test_conversion_left_behind_before_a_start_is_found(servers: Waiting) -> None:
    record = await left_behind(servers)
    servers.passed_s += 50 * MINUTE_S

    assert await servers.another_sweep().sweep() == 1
    assert await servers.status(record) is Status.PENDING


async def test_waiting_conversion_is_read_once_per_age(servers: Waiting) -> None:
    """One that waits for hours is not read by each sweep."""
    _, record = await servers.add_upload()
    store, read = servers.stores.conversions, Counter[str]()
    awaiting_upload = store.awaiting_upload

    async def count(**period: Any) -> list[Conversion]:
        found = await awaiting_upload(**period)
        read.update(one.id for one in found)
        return found

    store.awaiting_upload = count  # type: ignore[method-assign]
    while servers.passed_s < DAY_S:
        await servers.sweep_of_one.sweep()
        servers.passed_s += 20

    assert read == {record.id: len(servers.settings.upload_looks_s)}


async def test_missed_period_is_checked_after_an_outage(servers: Waiting) -> None:
    """The sweep that fails has checked nothing; the next one covers its period, too."""
    await servers.sweep_of_one.sweep()
    record = await left_behind(servers)
    servers.passed_s += MINUTE_S + 1
    servers.stores.is_away = True
    for _ in range(3):
        servers.passed_s += 10
        with pytest.raises(StoreUnavailable):
            await servers.sweep_of_one.sweep()
    servers.stores.is_away = False
    await servers.sweep_of_one.sweep()

    assert await servers.status(record) is Status.PENDING


async def test_waiting_without_a_worker_ends_with_the_first_one() -> None:
    servers = Waiting()
    file, record = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += MINUTE_S
    for _ in range(2):  # the second time, the file is uploaded already
        servers.passed_s += 1
        with pytest.raises(NoWorker):
            await servers.sweep_of_one.sweep()
    await servers.put_worker()
    await servers.sweep_of_one.sweep()

    assert await servers.status(record) is Status.PENDING


async def test_sweep_without_use_cases_changes_nothing(servers: Waiting) -> None:
    file, _ = await servers.add_upload()
    await servers.put(file)
    servers.passed_s += MINUTE_S
    idle = WaitingUploads(
        servers.stores.conversions,
        servers.stores.files,
        looks=look_schedule(servers.settings),
        confirm_upload=None,
        time=TrustedTime(servers.objects, servers.now_ms),
        now_ms=servers.now_ms,
    )

    assert await idle.sweep() == 0
    assert await servers.file(file) == msgspec.structs.replace(file)
