"""The contract of `ObjectStore` (behaviours C7, M5: presigned, exact, resumable)."""

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from converto_core.errors import ObjectStoreUnavailable, SourceGone, UploadLost, UploadRefused
from converto_core.ids import new_id
from converto_core.ports.objects import ObjectStore, UploadedPart
from converto_infra.settings import MIB
from tests.contract.samples import send

PART_BYTES = 5 * MIB  # the smallest part that S3 joins


def a_key() -> str:
    return f"t/ann/in/{new_id()}/1/source"


def digests(body: bytes) -> tuple[int, str, str]:
    return len(body), hashlib.sha256(body).hexdigest(), hashlib.sha512(body).hexdigest()


async def test_put_as_declared_is_stored(objects: ObjectStore) -> None:
    key, body = a_key(), b"hello, screen"
    request = await objects.presign_put(key, size_bytes=len(body), content_type="text/plain", sha256=None)

    answer = await send(objects, request, body)

    assert answer.status == 200
    found = await objects.head(key)
    assert found is not None
    assert (found.size_bytes, found.content_type) == (len(body), "text/plain")
    assert found.etag


async def test_put_with_the_declared_sha256_passes(objects: ObjectStore) -> None:
    key, body = a_key(), b"these very bytes"
    sha256 = hashlib.sha256(body).hexdigest()

    request = await objects.presign_put(key, size_bytes=len(body), content_type="text/plain", sha256=sha256)

    assert (await send(objects, request, body)).status == 200
    found = await objects.head(key)
    assert found is not None and found.sha256 in (None, sha256)


@pytest.mark.parametrize("body", [b"", b"123", b"12345"], ids=["nothing", "too short", "too long"])
async def test_put_of_another_size_is_refused(objects: ObjectStore, body: bytes) -> None:
    key = a_key()
    request = await objects.presign_put(key, size_bytes=4, content_type="text/plain", sha256=None)
    headers = {**request.headers, "Content-Length": str(len(body))}

    answer = await send(objects, request, body, headers=headers)

    assert answer.status == 403
    assert await objects.head(key) is None


async def test_put_of_another_type_is_refused(objects: ObjectStore) -> None:
    key = a_key()
    request = await objects.presign_put(key, size_bytes=4, content_type="text/plain", sha256=None)

    answer = await send(objects, request, b"1234", headers={**request.headers, "Content-Type": "text/html"})

    assert answer.status == 403
    assert await objects.head(key) is None


async def test_presigned_put_to_another_key_is_refused(objects: ObjectStore) -> None:
    key, other = a_key(), a_key()
    request = await objects.presign_put(key, size_bytes=4, content_type="text/plain", sha256=None)
    forged = type(request)(
        method="PUT",
        url=request.url.replace(key, other),
        headers=request.headers,
        expires_at=request.expires_at,
    )

    assert (await send(objects, forged, b"1234")).status == 403
    assert await objects.head(other) is None


@pytest.mark.parametrize(
    "filename", ["deck.pdf", 'Präsentation "Q3"; final.pdf', "講演 100%.pdf", "a\\b.pdf", "line\nbreak.pdf"]
)
async def test_presigned_get_downloads_under_the_readable_name(objects: ObjectStore, filename: str) -> None:
    """W3: a name with non-ASCII letters and quotes arrives unchanged and cannot break the header."""
    key, body = a_key(), b"%PDF-1.7"
    await objects.put(key, body, content_type="application/octet-stream")

    request = await objects.presign_get(key, filename=filename, content_type="application/pdf")
    answer = await send(objects, request)

    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "application/pdf"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == filename
    inline = await send(objects, await objects.presign_get(key, filename="a", content_type="a/b", inline=True))
    assert inline.headers["content-disposition"].startswith("inline;")


async def test_range_is_shorter_at_the_end_of_the_object(objects: ObjectStore) -> None:
    key, empty = a_key(), a_key()
    await objects.put(key, b"0123456789", content_type="a/b")
    await objects.put(empty, b"", content_type="a/b")

    assert await objects.read_range(key, start=0, length=4) == b"0123"
    assert await objects.read_range(key, start=8, length=100) == b"89"
    assert await objects.read_range(key, start=10, length=5) == b""
    assert await objects.read_range(empty, start=0, length=5) == b""
    with pytest.raises(SourceGone):
        await objects.read_range(a_key(), start=0, length=1)


@pytest.mark.parametrize("size_bytes", [0, 1, PART_BYTES, 2 * PART_BYTES + 17])
async def test_upload_and_download_hash_the_same_bytes(objects: ObjectStore, tmp_path: Path, size_bytes: int) -> None:
    """I2: one streaming pass yields size, SHA-256 and SHA-512; large files go in parts."""
    key, body = a_key(), os.urandom(size_bytes)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(body)

    sent = await objects.upload(source, key, content_type="a/b", filename='Ergebnis "1".pdf')
    received = await objects.download(key, target)

    assert (sent.size_bytes, sent.sha256, sent.sha512) == digests(body)
    assert (received.size_bytes, received.sha256, received.sha512) == digests(body)
    assert target.read_bytes() == body


@pytest.mark.parametrize("size_bytes", [0, 3, 4 * PART_BYTES, 9 * PART_BYTES + 17])
async def test_copy_is_independent_of_its_source(objects: ObjectStore, tmp_path: Path, size_bytes: int) -> None:
    """I8: large objects are copied in parts; deleting the source keeps the copy."""
    source, target, body = a_key(), a_key(), os.urandom(size_bytes)
    (tmp_path / "body").write_bytes(body)
    await objects.upload(tmp_path / "body", source, content_type="a/b", filename="first.pdf")

    await objects.copy(source, target, size_bytes=size_bytes, content_type="application/pdf", filename="Zweite – 2.pdf")
    found = await objects.head(target)
    await objects.delete([source])
    received = await objects.download(target, tmp_path / "copy")

    assert found is not None
    assert (found.size_bytes, found.content_type) == (size_bytes, "application/pdf")
    assert (received.size_bytes, received.sha256, received.sha512) == digests(body)


async def test_copy_of_a_missing_source_stores_nothing(objects: ObjectStore) -> None:
    target = a_key()

    for size_bytes in (1, 9 * PART_BYTES):
        with pytest.raises(SourceGone):
            await objects.copy(a_key(), target, size_bytes=size_bytes, content_type="a/b", filename="x")

    assert await objects.head(target) is None


async def test_copy_of_a_source_of_another_size_fails(objects: ObjectStore) -> None:
    source = a_key()
    await objects.put(source, b"four", content_type="a/b")

    with pytest.raises(ObjectStoreUnavailable):
        await objects.copy(source, a_key(), size_bytes=5, content_type="a/b", filename="x")


async def test_download_of_a_missing_object_raises_source_gone(objects: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(SourceGone):
        await objects.download(a_key(), tmp_path / "target")


async def test_interrupted_multipart_upload_resumes(objects: ObjectStore) -> None:
    """C7: a returning client asks which parts arrived and sends the rest."""
    key, first, second = a_key(), os.urandom(PART_BYTES), b"the end"
    upload_id = await objects.start_multipart(key, content_type="video/mp4")
    (request,) = await objects.presign_parts(key, upload_id, [1])
    assert (await send(objects, request, first)).status == 200

    arrived = await objects.list_parts(key, upload_id)
    assert [(part.part_number, part.size_bytes) for part in arrived] == [(1, PART_BYTES)]
    assert await objects.head(key) is None

    (request,) = await objects.presign_parts(key, upload_id, [2])
    assert (await send(objects, request, second)).status == 200
    parts = await objects.list_parts(key, upload_id)
    await objects.complete_multipart(key, upload_id, parts)
    await objects.complete_multipart(key, upload_id, parts)  # the first answer may have been lost

    found = await objects.head(key)
    assert found is not None
    assert (found.size_bytes, found.content_type) == (PART_BYTES + len(second), "video/mp4")
    assert await objects.read_range(key, start=PART_BYTES - 1, length=100) == first[-1:] + second
    with pytest.raises(UploadLost):
        await objects.list_parts(key, upload_id)


async def test_begun_upload_without_parts_is_known(objects: ObjectStore) -> None:
    """C7: no parts and no upload are two answers."""
    key = a_key()
    upload_id = await objects.start_multipart(key, content_type="a/b")
    empty = (await objects.list_parts(key, upload_id), await objects.knows_upload(key, upload_id))
    (request,) = await objects.presign_parts(key, upload_id, [1])
    await send(objects, request, b"part")
    begun = await objects.knows_upload(key, upload_id)
    await objects.abort_multipart(key, upload_id)

    assert (empty, begun) == (([], True), True)
    assert not await objects.knows_upload(key, upload_id)


async def test_part_of_a_lost_upload_is_refused(objects: ObjectStore) -> None:
    key = a_key()
    upload_id = await objects.start_multipart(key, content_type="a/b")
    (request,) = await objects.presign_parts(key, upload_id, [1])
    await objects.abort_multipart(key, upload_id)

    assert (await send(objects, request, b"part")).status == 404


async def test_incomplete_multipart_upload_is_refused_and_can_be_completed(
    objects: ObjectStore,
) -> None:
    key = a_key()
    upload_id = await objects.start_multipart(key, content_type="a/b")
    (request,) = await objects.presign_parts(key, upload_id, [1])
    await send(objects, request, b"only one")
    (arrived,) = await objects.list_parts(key, upload_id)
    missing = UploadedPart(part_number=2, etag=arrived.etag)
    differing = UploadedPart(part_number=1, etag='"00000000000000000000000000000000"')

    for parts in ([], [arrived, missing], [differing]):
        with pytest.raises(UploadRefused):
            await objects.complete_multipart(key, upload_id, parts)

    await objects.complete_multipart(key, upload_id, [arrived])
    assert await objects.head(key) is not None


async def test_aborted_multipart_upload_can_be_aborted_again(objects: ObjectStore) -> None:
    key = a_key()
    upload_id = await objects.start_multipart(key, content_type="a/b")
    (request,) = await objects.presign_parts(key, upload_id, [1])
    await send(objects, request, b"part")

    await objects.abort_multipart(key, upload_id)
    await objects.abort_multipart(key, upload_id)
    await objects.abort_multipart(key, "never-was")

    with pytest.raises(UploadLost):
        await objects.list_parts(key, upload_id)
    with pytest.raises(UploadLost):
        await objects.complete_multipart(key, upload_id, [UploadedPart(part_number=1, etag='"x"')])


async def test_delete_ignores_missing_objects_and_keeps_others(objects: ObjectStore) -> None:
    """I10: clean-up is idempotent."""
    folder = f"t/ann/out/{new_id()}"
    for name in ("a", "b", "c"):
        await objects.put(f"{folder}/{name}", b"x", content_type="a/b")

    await objects.delete([f"{folder}/a", f"{folder}/b", f"{folder}/never-was"])
    await objects.delete([])

    assert await objects.list_keys(folder) == [f"{folder}/c"]
