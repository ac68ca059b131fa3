"""`/files`: uploads in one or many parts, confirmation, originals, deletion (I1, I2, M4, M5, C7)."""

import hashlib
from typing import Any

import pytest

from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import source_key
from tests.unit.file_service.conftest import EXE, PDF, PNG, System, pptx, problem, running_system
from tests.unit.file_service.housekeeping.records import a_file

MIB = 1024**2


async def test_create_file_when_small_then_answers_with_one_presigned_put(system: System) -> None:
    """I1, I2."""
    wanted = {"filename": "deck.pptx", "size_bytes": 9, "content_type": "text/x-any", "client_id": "foyer"}

    answer = await system.api.post("/api/v1/files", json=wanted)

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/files/{body['file']['id']}"
    assert body["upload"]["kind"] == "single"
    assert body["upload"]["method"] == "PUT"
    assert body["file"]["status"] == "awaiting_upload"
    assert body["file"]["extension"] == "pptx"
    assert body["file"]["client_id"] == "foyer"
    assert body["file"]["declared_type"] == "text/x-any"


async def test_confirm_when_bytes_arrived_then_type_and_status_are_kept(system: System) -> None:
    """I2: the record keeps the declared and the detected type."""
    created = (await system.api.post("/api/v1/files", json={"filename": "a.bin", "size_bytes": len(PDF)})).json()
    await system.send(created["upload"], PDF)

    answer = await system.api.post(f"/api/v1/files/{created['file']['id']}/uploaded", json={})

    file = answer.json()["file"]
    assert answer.status_code == 200
    assert (file["status"], file["detected_type"], file["detected_format"]) == ("uploaded", "application/pdf", "pdf")
    assert answer.json()["conversions"] == []


async def test_confirm_when_repeated_then_answers_the_same(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")
    await system.send(created["upload"], PNG)
    address = f"/api/v1/files/{created['file']['id']}/uploaded"

    first, second = (await system.api.post(address)).json(), (await system.api.post(address)).json()

    assert first == second
    assert first["conversions"][0]["status"] == "pending"


async def test_confirm_when_bytes_are_missing_then_409_and_nothing_changes(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")

    answer = await system.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")

    assert problem(answer, 409, "upload_incomplete")["retryable"] is True
    assert (await system.record(created["conversion"]["id"])).status is Status.AWAITING_UPLOAD


async def test_upload_of_another_size_is_refused_until_replaced(system: System) -> None:
    """M5: the wrong bytes stay until the client replaces them, and each confirmation says what is wrong."""
    created = await system.announced(PNG, "a.png", "webp")
    file = await system.stores.files.get(created["file"]["id"])
    assert file is not None
    await system.objects.put(file.key, PNG + b"more", content_type="image/png")

    for _ in range(2):
        problem(await system.api.post(f"/api/v1/files/{file.id}/uploaded"), 422, "size_mismatch")
    await system.objects.put(file.key, PNG, content_type="image/png")
    answer = await system.api.post(f"/api/v1/files/{file.id}/uploaded")

    assert answer.json()["conversions"][0]["status"] == "pending"


async def test_confirm_when_store_knows_another_checksum_then_refused(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M5: a wrong checksum is refused if the store has verified it."""
    declared = {"filename": "a.png", "size_bytes": len(PNG), "sha256": hashlib.sha256(b"other").hexdigest()}
    created = (await system.api.post("/api/v1/files", json=declared)).json()
    file = await system.stores.files.get(created["file"]["id"])
    assert file is not None
    await system.objects.put(file.key, PNG, content_type="image/png")
    seen = await system.objects.head(file.key)

    async def verified_head(_key: str) -> Any:
        from msgspec.structs import replace

        return replace(seen, sha256=hashlib.sha256(PNG).hexdigest())

    monkeypatch.setattr(system.objects, "head", verified_head)

    problem(await system.api.post(f"/api/v1/files/{file.id}/uploaded"), 422, "checksum_mismatch")


@pytest.mark.parametrize(
    ("declared", "status", "code"),
    [
        ({"filename": "a.png", "size_bytes": 0}, 422, "empty_file"),
        ({"filename": "a.png", "size_bytes": 2**50}, 413, "too_large"),
        ({"filename": "a.png", "size_bytes": -1}, 422, "invalid_request"),
        ({"filename": "a.png", "size_bytes": 10**40}, 422, "invalid_request"),
        ({"filename": "a.png"}, 422, "invalid_request"),
        ({"filename": "", "size_bytes": 1}, 422, "invalid_request"),
        ({"filename": "../..", "size_bytes": 1}, 422, "invalid_request"),
        ({"filename": "a" * 256, "size_bytes": 1}, 422, "invalid_request"),
        ({"filename": "a.png", "size_bytes": 1, "colour": "red"}, 422, "invalid_request"),
        ({"filename": "a.png", "size_bytes": 1, "sha256": "zz"}, 422, "invalid_request"),
        ({"filename": "a.png", "size_bytes": 1, "content_type": "a/b\r\nx: y"}, 422, "invalid_request"),
        ({"filename": "a.png", "size_bytes": "1"}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ],
)
async def test_create_file_when_declaration_is_wrong_then_problem(
    system: System, declared: Any, status: int, code: str
) -> None:
    """M5, C12."""
    problem(await system.api.post("/api/v1/files", json=declared), status, code)


async def test_unknown_field_is_pointed_at(system: System) -> None:
    answer = await system.api.post("/api/v1/files", json={"filename": "a.png", "size_bytes": 1, "colour": "red"})

    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "/colour"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"filename": "\\ud800"}', b"not json"])
async def test_create_file_when_body_is_not_json_then_400(system: System, body: bytes) -> None:
    answer = await system.api.post("/api/v1/files", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {"malformed_request", "invalid_request"}


async def test_create_file_when_body_is_over_64_kib_then_413(system: System) -> None:
    answer = await system.api.post("/api/v1/files", content=b" " * (64 * 1024 + 1))

    problem(answer, 413, "too_large")


@pytest.mark.parametrize(
    ("untrusted", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\deck.pptx", "deck.pptx"),
        ("a\nb\u0000.pdf", "ab.pdf"),
        ("exe\u202efdp.pdf", "exefdp.pdf"),
        ("  Präsentation ü.pptx ", "Präsentation ü.pptx"),
        ("$(id).png", "$(id).png"),
    ],
)
async def test_tricky_file_name_is_cleaned(system: System, untrusted: str, kept: str) -> None:
    answer = await system.api.post("/api/v1/files", json={"filename": untrusted, "size_bytes": 1})

    assert answer.json()["file"]["filename"] == kept


async def test_upload_in_parts_when_interrupted_then_goes_on_and_joins() -> None:
    """C7: parts are presigned, arrived parts are listed, the rest is sent, and the upload is confirmed."""
    body = pptx() + b"\0" * (11 * MIB)
    async with running_system(part_size_bytes=5 * MIB, multipart_threshold_bytes=6 * MIB) as system:
        created = (await system.api.post("/api/v1/files", json={"filename": "a.pptx", "size_bytes": len(body)})).json()
        address = f"/api/v1/files/{created['file']['id']}"
        assert created["upload"] == {"kind": "multipart", "part_size_bytes": 5 * MIB, "part_count": 3}
        parts = (await system.api.post(f"{address}/parts", json={"part_numbers": [1, 2, 3]})).json()["parts"]
        chunks = [body[start : start + 5 * MIB] for start in range(0, len(body), 5 * MIB)]
        await system.send(parts[0], chunks[0])

        missing = problem(await system.api.post(f"{address}/uploaded"), 409, "upload_incomplete")
        arrived = (await system.api.get(f"{address}/parts")).json()
        for part, chunk in zip(parts[1:], chunks[1:], strict=True):
            await system.send(part, chunk)
        listed = (await system.api.get(f"{address}/parts")).json()["parts"]
        etags = [{"part_number": part["part_number"], "etag": part["etag"]} for part in listed]
        confirmed = await system.api.post(f"{address}/uploaded", json={"parts": etags})

        assert "2 of 3 parts" in missing["detail"]
        assert [part["part_number"] for part in arrived["parts"]] == [1]
        assert confirmed.status_code == 200
        assert confirmed.json()["file"]["status"] == "uploaded"
        problem(await system.api.get(f"{address}/parts"), 409, "conflict")


async def test_upload_in_parts_when_an_etag_is_wrong_then_refused() -> None:
    async with running_system() as system:
        wanted = {"filename": "a.png", "size_bytes": len(PNG), "multipart": True}
        created = (await system.api.post("/api/v1/files", json=wanted)).json()
        address = f"/api/v1/files/{created['file']['id']}"
        parts = (await system.api.post(f"{address}/parts", json={"part_numbers": [1]})).json()["parts"]
        await system.send(parts[0], PNG)

        answer = await system.api.post(f"{address}/uploaded", json={"parts": [{"part_number": 1, "etag": "wrong"}]})

        problem(answer, 422, "upload_refused")


async def test_confirmation_of_some_parts_only_keeps_them_all() -> None:
    """Joining only some of the parts would give a wrong object, and cost those that are not named."""
    body = pptx() + b"\0" * (11 * MIB)
    async with running_system(part_size_bytes=5 * MIB, multipart_threshold_bytes=6 * MIB) as system:
        created = (await system.api.post("/api/v1/files", json={"filename": "a.pptx", "size_bytes": len(body)})).json()
        address = f"/api/v1/files/{created['file']['id']}"
        parts = (await system.api.post(f"{address}/parts", json={"part_numbers": [1, 2, 3]})).json()["parts"]
        for number, part in enumerate(parts):
            await system.send(part, body[number * 5 * MIB : (number + 1) * 5 * MIB])
        listed = (await system.api.get(f"{address}/parts")).json()["parts"]
        etags = [{"part_number": part["part_number"], "etag": part["etag"]} for part in listed]

        for named in (etags[:1], [*etags, etags[0]]):
            answer = problem(await system.api.post(f"{address}/uploaded", json={"parts": named}), 422, "upload_refused")
            assert "does not name all 3 parts" in answer["detail"]
        confirmed = await system.api.post(f"{address}/uploaded", json={"parts": etags})

        assert confirmed.json()["file"]["status"] == "uploaded"


async def test_wrong_multipart_size_allows_a_new_upload(system: System) -> None:
    wanted = {"filename": "a.png", "size_bytes": len(PNG), "multipart": True}
    created = (await system.api.post("/api/v1/files", json=wanted)).json()
    address = f"/api/v1/files/{created['file']['id']}"
    first = (await system.api.post(f"{address}/parts", json={"part_numbers": [1]})).json()["parts"]
    await system.send(first[0], PNG + b"x")
    problem(await system.api.post(f"{address}/uploaded"), 422, "size_mismatch")

    again = (await system.api.post(f"{address}/upload")).json()
    second = (await system.api.post(f"{address}/parts", json={"part_numbers": [1]})).json()["parts"]
    await system.send(second[0], PNG)

    assert again["upload"]["kind"] == "multipart"
    assert (await system.api.post(f"{address}/uploaded")).status_code == 200


@pytest.mark.parametrize("numbers", [[], [0], [10_001], [1] * 1001, "1", [1.5]])
async def test_presign_parts_when_numbers_are_wrong_then_422(system: System, numbers: Any) -> None:
    wanted = {"filename": "a.png", "size_bytes": len(PNG), "multipart": True}
    created = (await system.api.post("/api/v1/files", json=wanted)).json()

    answer = await system.api.post(f"/api/v1/files/{created['file']['id']}/parts", json={"part_numbers": numbers})

    problem(answer, 422, "invalid_request")


async def test_presign_parts_when_upload_is_single_then_409(system: System) -> None:
    created = (await system.api.post("/api/v1/files", json={"filename": "a.png", "size_bytes": 5})).json()

    answer = await system.api.post(f"/api/v1/files/{created['file']['id']}/parts", json={"part_numbers": [1]})

    problem(answer, 409, "conflict")


async def test_fresh_upload_when_waiting_then_new_address_and_409_afterwards(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")
    address = f"/api/v1/files/{created['file']['id']}"

    fresh = await system.api.post(f"{address}/upload")
    assert await system.send(fresh.json()["upload"], PNG) == 200
    await system.api.post(f"{address}/uploaded")

    assert fresh.status_code == 200
    problem(await system.api.post(f"{address}/upload"), 409, "conflict")


async def test_get_content_when_uploaded_then_redirects_to_the_original(system: System) -> None:
    """C2: the original by presigned URL."""
    conversion = await system.record(await system.pending(PDF, "a.pdf", "png"))

    answer = await system.api.get(f"/api/v1/files/{conversion.file_id}/content")

    assert answer.status_code == 307
    assert await system.fetch(answer.headers["location"]) == PDF


async def test_get_content_when_not_uploaded_then_409(system: System) -> None:
    created = await system.announced(PNG, "a.png", "webp")

    problem(await system.api.get(f"/api/v1/files/{created['file']['id']}/content"), 409, "upload_incomplete")


async def test_list_pages_hold_each_file_once_newest_first(system: System) -> None:
    made = [
        (await system.api.post("/api/v1/files", json={"filename": f"{n}.png", "size_bytes": 1})).json()["file"]["id"]
        for n in range(5)
    ]
    seen: list[str] = []
    after = ""
    while True:
        page = (await system.api.get(f"/api/v1/files?limit=2{after}")).json()
        seen += [file["id"] for file in page["files"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == made[::-1]


async def test_delete_file_cancels_waiting_conversions_and_removes_bytes(system: System) -> None:
    conversion_id = await system.pending()
    conversion = await system.record(conversion_id)
    address = f"/api/v1/files/{conversion.file_id}"

    answer = await system.api.delete(address)

    assert answer.status_code == 204
    assert answer.content == b""
    assert (await system.record(conversion_id)).status is Status.CANCELLED
    assert await system.objects.list_keys("t/anna/in/") == []
    file = await system.stores.files.get(conversion.file_id)
    assert file is not None and file.status is FileStatus.DELETED
    problem(await system.api.get(address), 404, "not_found")


async def test_repeated_delete_after_an_outage_removes_the_rest(system: System) -> None:
    conversion = await system.record(await system.pending())
    system.objects.is_away = True
    problem(await system.api.delete(f"/api/v1/files/{conversion.file_id}"), 503, "object_store_unavailable")
    system.objects.is_away = False

    answer = await system.api.delete(f"/api/v1/files/{conversion.file_id}")

    assert answer.status_code == 204
    assert await system.objects.list_keys("t/anna/in/") == []


async def test_delete_removes_every_version_of_the_content(system: System) -> None:
    """I10: bytes of an older version must not stay behind."""
    file_id = new_id()
    keys = [source_key("anna", file_id, version) for version in (1, 2, 3)]
    file = a_file(FileStatus.UPLOADED, now_ms=now_ms(), id=file_id, owner="anna", key=keys[-1], version=3)
    await system.stores.files.insert(file)
    for key in keys:
        await system.objects.put(key, PNG, content_type="image/png")

    answer = await system.api.delete(f"/api/v1/files/{file_id}")

    assert answer.status_code == 204
    assert await system.objects.list_keys("t/anna/in/") == []


async def test_every_file_route_when_asked_by_another_owner_then_404(system: System) -> None:
    """C12: another owner's file does not exist."""
    conversion = await system.record(await system.pending())
    address = f"/api/v1/files/{conversion.file_id}"

    answers = [
        await system.stranger.get(address),
        await system.stranger.get(f"{address}/content"),
        await system.stranger.get(f"{address}/parts"),
        await system.stranger.post(f"{address}/parts", json={"part_numbers": [1]}),
        await system.stranger.post(f"{address}/upload"),
        await system.stranger.post(f"{address}/uploaded"),
        await system.stranger.delete(address),
        await system.stranger.post("/api/v1/conversions", json={"file_id": conversion.file_id, "target_format": "jpg"}),
    ]

    for answer in answers:
        problem(answer, 404, "not_found")
    assert (await system.stranger.get("/api/v1/files")).json()["files"] == []


@pytest.mark.parametrize(
    ("body", "filename", "code"),
    [(EXE, "deck.pptx", "source_type_mismatch"), (b"plain words", "deck.pptx", "source_type_mismatch")],
)
async def test_content_that_contradicts_the_name_fails_the_conversion(
    system: System, body: bytes, filename: str, code: str
) -> None:
    """I13: mislabelled decks fail clearly and nothing is queued."""
    conversion = await system.record(await system.pending(body, filename, "pdf"))

    answer = (await system.api.get(f"/api/v1/conversions/{conversion.id}")).json()

    assert answer["status"] == "failed"
    assert answer["error"]["code"] == code
    assert filename in answer["error"]["message"]
    assert answer["errors"][0]["code"] == code
    assert conversion.publish_due is None


async def test_wrong_extension_of_the_same_family_is_corrected(system: System) -> None:
    conversion = await system.record(await system.pending(PNG, "photo.jpg", "webp"))

    assert conversion.status is Status.PENDING
    assert conversion.source_format == "png"


async def test_unknown_extension_without_route_fails_the_conversion(system: System) -> None:
    conversion = await system.record(await system.pending(PNG, "picture.xyz", "pdf"))

    assert conversion.status is Status.FAILED
    assert conversion.error_code == "unsupported_conversion"


async def test_unknown_extension_with_invalid_options_fails_the_conversion(system: System) -> None:
    conversion = await system.record(await system.pending(PNG, "picture.xyz", "webp", options={"dpi": 3}))

    assert conversion.status is Status.FAILED
    assert conversion.error_code == "options_invalid"
