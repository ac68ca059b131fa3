"""A retention rule goes on after one record that fails: it is counted, logged, and left alone for a while (I10)."""

import pytest
from structlog.testing import capture_logs

from converto_core.conversion.record import Status
from converto_core.errors import ObjectStoreUnavailable
from converto_core.files.record import FileStatus
from converto_core.ports.objects import ObjectInfo
from converto_infra.memory.stores import MemoryObjectStore
from file_service.housekeeping.backoff import LONGEST_MS, Backoff
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, MemoryServers


class RefusingObjects(MemoryObjectStore):
    """Refuses every request about the keys `refused`, as S3 does without the right to them."""

    refused: frozenset[str] = frozenset()
    heads = 0

    async def head(self, key: str) -> ObjectInfo | None:
        self.heads += key in self.refused
        self._check(key)
        return await super().head(key)

    async def delete(self, keys: list[str]) -> None:  # type: ignore[override]
        for key in keys:
            self._check(key)
        await super().delete(keys)

    def _check(self, key: str) -> None:
        if key in self.refused:
            raise ObjectStoreUnavailable(detail="403")


class Servers(MemoryServers):
    """Servers whose object store refuses some keys."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: RefusingObjects = RefusingObjects(clock=self.now_ms)
        self.sweeps = self.another_process()


@pytest.fixture
def servers() -> Servers:
    return Servers()


async def test_unreadable_upload_lets_the_others_expire(servers: Servers) -> None:
    files = [await servers.add_file(FileStatus.AWAITING_UPLOAD) for _ in range(3)]
    records = [await servers.add(Status.AWAITING_UPLOAD, file_id=file.id) for file in files]
    servers.objects.refused = frozenset({files[0].key})
    servers.passed_s += DAY_S + 1
    with capture_logs() as logs, pytest.raises(ObjectStoreUnavailable):
        await servers.sweep("uploads")

    statuses = [(await servers.reload(record)).status for record in records]
    assert statuses == [Status.AWAITING_UPLOAD, Status.EXPIRED, Status.EXPIRED]
    assert {one["id"] for one in logs if one["event"] == "sweep.record_failed"} == {records[0].id, files[0].id}
    assert [one["count"] for one in logs if one["event"] == "sweep.records_failed"] == [2]


async def test_object_that_cannot_be_deleted_keeps_no_result_alive(servers: Servers) -> None:
    records = [await servers.add_completed() for _ in range(3)]
    servers.objects.refused = frozenset({records[0].outputs[0].key})
    servers.passed_s += 7 * DAY_S + 1
    await servers.sweep("results")

    assert [(await servers.reload(one)).status for one in records] == [Status.EXPIRED] * 3
    assert await servers.objects.list_keys("") == [records[0].outputs[0].key]  # the rule for orphans removes it


async def test_dry_run_lists_the_others_before_it_fails(servers: Servers) -> None:
    files = [await servers.add_file(FileStatus.AWAITING_UPLOAD) for _ in range(3)]
    servers.objects.refused = frozenset({files[0].key})
    servers.passed_s += DAY_S + 1
    listed = list[str]()
    with pytest.raises(ObjectStoreUnavailable):
        async for removal in servers.sweeps.retention["uploads"].removals():
            listed += [one.id for one in removal.removed]

    assert listed == [file.id for file in files[1:]]


async def test_removal_that_always_fails_is_left_alone_for_longer(servers: Servers) -> None:
    """The rule runs each minute; whoever always fails logs less and less often."""
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    servers.objects.refused = frozenset({file.key})
    servers.passed_s += DAY_S + 1
    failures = 0
    for _ in range(180):
        try:
            await servers.sweep("uploads")
        except ObjectStoreUnavailable:
            failures += 1
        servers.passed_s += 60

    assert 5 <= failures <= 7


def test_pauses_double_up_to_an_hour() -> None:
    now_ms = 0
    backoff = Backoff(lambda: now_ms, first_s=60)
    pauses = list[int]()
    for _ in range(9):
        backoff.fail("a")
        pauses.append((backoff.due_ms("a") or 0) // 60_000)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not backoff.is_due("a")
    now_ms = LONGEST_MS
    assert backoff.is_due("a")
    backoff.succeed("a")
    assert backoff.due_ms("a") is None
