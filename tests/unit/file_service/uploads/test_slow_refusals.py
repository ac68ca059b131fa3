"""A refusal is old news when it comes late: the right bytes may have arrived, and a conversion may run (C7, M5).

The calls of each process take a random number of turns of the loop, so that its steps interleave in another way with
each seed.
"""

import asyncio
from typing import Any

import pytest

from converto_core.conversion.record import Status
from converto_core.errors import ConvertoError, UploadRefused
from converto_core.files.record import File, FileStatus
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.conftest import PNG
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, MemoryServers
from tests.unit.file_service.uploads.test_confirmation_races import OWNER, RUNS, Run, Slowed, build_wiring, named
from tests.unit.file_service.uploads.test_confirmation_races import SETTINGS as SETTINGS_OF_RACE

WRONG = PNG + b"more"


async def confirm(run: Run, file: File) -> None:
    """One process that confirms for the client, at its own pace."""
    stores, objects = Slowed(run.stores, run.chance), Slowed(run.objects, run.chance)
    wiring = build_wiring(SETTINGS_OF_RACE, stores, objects, Slowed(run.bus, run.chance))
    await wiring.files.confirm(OWNER, file.id)


async def send_again(run: Run, file: File, *, multipart: bool) -> None:
    """The client, which sends the right bytes after it was told that the first ones were wrong."""
    if not multipart:
        await run.objects.put(file.key, PNG, content_type="image/png")
        return
    (request,) = await run._wiring.files.presign_parts(OWNER, file.id, [1])
    await run.objects.send(request, PNG)


async def announced(run: Run, body: bytes, *, multipart: bool) -> File:
    """A file of which `body` has arrived, although the right bytes were declared."""
    file, _ = await run.prepare(body, multipart=multipart)
    right = {"size_bytes": len(PNG), "part_size_bytes": len(PNG) if multipart else None}
    if multipart:
        await run.objects.abort_multipart(file.key, str(file.upload_id))
        upload_id = await run.objects.start_multipart(file.key, content_type="image/png")
        (request,) = await run.objects.presign_parts(file.key, upload_id, [1])
        await run.objects.send(request, body)
        right["upload_id"] = upload_id
    changed = await run.stores.files.update(file.id, version=1, expected={FileStatus.AWAITING_UPLOAD}, assign=right)
    assert changed is not None
    return changed


@pytest.mark.parametrize("multipart", [False, True])
async def test_late_refusal_never_deletes_the_right_bytes(multipart: bool) -> None:
    """Three confirmations look at the wrong bytes; the first refusal makes the client send the right ones."""
    confirmed = 0
    for seed in range(RUNS):
        async with named(seed) as run:
            file = await announced(run, WRONG, multipart=multipart)
            looks = [asyncio.create_task(confirm(run, file)) for _ in range(3)]
            await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
            await send_again(run, file, multipart=multipart)
            await run._wiring.files.confirm(OWNER, file.id)
            ended = await asyncio.gather(*looks, return_exceptions=True)

            confirmed += sum(isinstance(one, UploadRefused) for one in ended)
            assert all(one is None or isinstance(one, ConvertoError) for one in ended), ended
            await run.uploaded(file)
            assert await run.objects.read_range(file.key, start=0, length=9999) == PNG
    assert confirmed >= RUNS


class LateRefusal(MemoryServers):
    """Servers on which the right bytes are confirmed while the sweep still looks at the wrong ones."""

    async def refuse_late(self, file_id: str) -> None:
        await self.objects.put((await self.one(file_id)).key, b"right", content_type="text/plain")
        uploaded: dict[str, Any] = {"status": FileStatus.UPLOADED}
        await self.stores.files.update(file_id, version=1, expected={FileStatus.AWAITING_UPLOAD}, assign=uploaded)
        raise UploadRefused("other bytes", code="size_mismatch")

    async def one(self, file_id: str) -> File:
        found = await self.stores.files.get(file_id)
        assert found is not None
        return found


@pytest.mark.parametrize("has_conversion", [False, True])
async def test_late_refusal_at_the_deadline_deletes_nothing(has_conversion: bool) -> None:
    servers = LateRefusal()
    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    await servers.objects.put(file.key, b"wrong bytes", content_type="text/plain")
    record = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id if has_conversion else "another")
    servers.passed_s += DAY_S + 1
    sweeps = Sweeps(
        servers.settings,
        servers.stores,
        servers.objects,
        servers.bus,
        confirm_upload=servers.refuse_late,
        now_ms=servers.now_ms,
    )
    await sweeps.uploads.sweep()

    assert (await servers.one(file.id)).status is FileStatus.UPLOADED
    assert await servers.objects.read_range(file.key, start=0, length=99) == b"right"
    assert ((await servers.reload(record)).status is Status.AWAITING_UPLOAD) == has_conversion


async def test_refused_file_stays_for_a_younger_conversion() -> None:
    """The old conversion expires; the client of the younger one has time to send the right bytes."""
    servers = MemoryServers()

    async def refuse(file_id: str) -> None:
        raise UploadRefused("other bytes", code="size_mismatch")

    file = await servers.add_file(FileStatus.AWAITING_UPLOAD)
    await servers.objects.put(file.key, b"wrong bytes", content_type="text/plain")
    old = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    servers.passed_s += DAY_S + 1
    young = await servers.add(Status.AWAITING_UPLOAD, file_id=file.id)
    sweeps = Sweeps(
        servers.settings, servers.stores, servers.objects, servers.bus, confirm_upload=refuse, now_ms=servers.now_ms
    )
    await sweeps.uploads.sweep()

    found = await servers.stores.files.get(file.id)
    assert found is not None and found.status is FileStatus.AWAITING_UPLOAD
    assert [(await servers.reload(one)).status for one in (old, young)] == [Status.EXPIRED, Status.AWAITING_UPLOAD]
