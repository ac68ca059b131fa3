"""A multipart upload that the object store has lost begins again, for every way in which clients ask (C7)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx2
import pytest

from converto_core.conversion.record import Status
from tests.unit.file_service.conftest import PNG, System, problem, running_system

MIB = 1024**2
PART_BYTES = 5 * MIB
BODY = PNG + b"\0" * (6 * MIB)


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with running_system(part_size_bytes=PART_BYTES, multipart_threshold_bytes=PART_BYTES) as one:
        yield one


class Upload:
    """One announced conversion whose file is sent in two parts."""

    def __init__(self, system: System, created: dict[str, Any]) -> None:
        self.system = system
        self.file_id, self.conversion_id = created["file"]["id"], created["conversion"]["id"]
        self.address = f"/api/v1/files/{self.file_id}"

    async def upload_id(self) -> str | None:
        file = await self.system.stores.files.get(self.file_id)
        assert file is not None
        return file.upload_id

    async def sign(self, *numbers: int) -> list[dict[str, Any]]:
        answer = await self.system.api.post(f"{self.address}/parts", json={"part_numbers": list(numbers)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["parts"])

    async def send(self, *numbers: int) -> list[int]:
        """The store's answers."""
        return [await self.put(request, request["part_number"]) for request in await self.sign(*numbers)]

    async def put(self, request: dict[str, Any], number: int) -> int:
        return await self.system.send(request, BODY[(number - 1) * PART_BYTES : number * PART_BYTES])

    async def arrived(self) -> list[int]:
        answer = await self.system.api.get(f"{self.address}/parts")
        assert answer.status_code == 200, answer.text
        return [part["part_number"] for part in answer.json()["parts"]]

    async def refresh(self) -> httpx2.Response:
        return await self.system.api.post(f"{self.address}/upload")

    async def confirm(self) -> httpx2.Response:
        return await self.system.api.post(f"{self.address}/uploaded")


@pytest.fixture
async def upload(system: System) -> Upload:
    return Upload(system, await system.announced(BODY, "a.png", "webp"))


ASK: dict[str, Callable[[Upload], Coroutine[Any, Any, Any]]] = {
    "parts": Upload.arrived,
    "urls": lambda upload: upload.sign(1),
    "upload": Upload.refresh,
}


@pytest.mark.parametrize("way", ASK)
async def test_lost_upload_begins_again_when_asked(upload: Upload, way: str) -> None:
    await upload.send(1)
    before = await upload.upload_id()
    upload.system.objects.forget_uploads()
    await ASK[way](upload)

    assert await upload.upload_id() not in {None, before}
    assert await upload.arrived() == []
    assert await upload.send(1, 2) == [200, 200]
    assert (await upload.confirm()).json()["conversions"][0]["status"] == "pending"


@pytest.mark.parametrize("way", ASK)
async def test_known_upload_is_kept(upload: Upload, way: str) -> None:
    await upload.send(1)
    before = await upload.upload_id()
    await ASK[way](upload)

    assert await upload.upload_id() == before
    assert await upload.arrived() == [1]


async def test_urls_of_a_lost_upload_answer_404(upload: Upload) -> None:
    (request,) = await upload.sign(1)
    upload.system.objects.forget_uploads()
    await upload.arrived()

    assert await upload.put(request, 1) == 404


async def test_clients_that_ask_at_once_share_one_new_upload(upload: Upload) -> None:
    upload.system.objects.forget_uploads()
    signed = await asyncio.gather(*(upload.sign(1, 2) for _ in range(9)))
    open_uploads = await upload.system.objects.list_uploads("t/", after=None, limit=100)

    assert open_uploads is not None
    assert [one.upload_id for one in open_uploads.uploads] == [await upload.upload_id()]
    assert [await upload.put(request, request["part_number"]) for parts in signed for request in parts] == [200] * 18
    assert (await upload.confirm()).status_code == 200


async def test_confirmation_of_a_lost_upload_says_so(upload: Upload) -> None:
    await upload.send(1, 2)
    upload.system.objects.forget_uploads()
    answer = problem(await upload.confirm(), 409, "upload_lost")

    assert "GET /api/v1/files/{id}/parts" in answer["detail"]
    assert answer["retryable"] is False
    assert (await upload.system.record(upload.conversion_id)).status is Status.AWAITING_UPLOAD


@pytest.mark.parametrize("way", ["parts", "urls", "upload"])
async def test_joined_upload_is_only_to_be_confirmed(upload: Upload, way: str) -> None:
    """The service died between joining the parts and marking the file."""
    await upload.send(1, 2)
    file = await upload.system.stores.files.get(upload.file_id)
    assert file is not None and file.upload_id is not None
    objects = upload.system.objects
    await objects.complete_multipart(file.key, file.upload_id, await objects.list_parts(file.key, file.upload_id))
    asked = {
        "parts": lambda: upload.system.api.get(f"{upload.address}/parts"),
        "urls": lambda: upload.system.api.post(f"{upload.address}/parts", json={"part_numbers": [1]}),
        "upload": upload.refresh,
    }
    refused = problem(await asked[way](), 409, "conflict")

    assert "/uploaded" in refused["detail"]
    assert (await upload.confirm()).json()["conversions"][0]["status"] == "pending"


async def test_store_that_is_away_loses_no_upload(upload: Upload) -> None:
    """No answer is not the answer that there is no upload."""
    await upload.send(1)
    before = await upload.upload_id()
    upload.system.objects.is_away = True
    for answer in (
        await upload.system.api.get(f"{upload.address}/parts"),
        await upload.system.api.post(f"{upload.address}/parts", json={"part_numbers": [1]}),
        await upload.refresh(),
    ):
        problem(answer, 503, "object_store_unavailable")
    upload.system.objects.is_away = False

    assert await upload.upload_id() == before
    assert await upload.arrived() == [1]


async def test_refused_bytes_end_only_their_own_upload(upload: Upload) -> None:
    """A confirmation that found other bytes must not drop the upload which another client has begun meanwhile."""
    files, objects = upload.system.stores.files, upload.system.objects
    seen = await files.get(upload.file_id)
    assert seen is not None
    objects.forget_uploads()
    await upload.arrived()
    begun = await upload.upload_id()

    assert await files.replace_upload(seen, upload_id=None) is None
    assert await upload.upload_id() == begun
