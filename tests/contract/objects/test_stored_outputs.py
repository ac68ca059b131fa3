"""Outputs are proven against the object store, with ETags or without (I8, P5: never a damaged result)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from converto_core.conversion.record import Output
from converto_core.conversion.stored_outputs import Verdict, copy_output, judge, judge_content
from converto_core.errors import ResultLost, SourceGone
from converto_core.ids import new_id
from converto_core.ports.objects import ObjectStore
from converto_infra.memory.stores import MemoryObjectStore
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import MIB, Settings

Stored = Callable[[bytes], Awaitable[Output]]
STORES = ("memory", "memory without ETags", "real", "moto")
SIZES = (11, 6 * MIB)  # the second one is uploaded in two parts


@pytest.fixture(params=STORES)
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    """An object store; the laptop's has no ETags of whole objects, moto has S3's."""
    if request.param.startswith("memory"):
        memory = MemoryObjectStore()
        memory.has_etags = request.param == "memory"
        return memory
    real: S3ObjectStore = request.getfixturevalue("s3" if request.param == "real" else "moto")
    return real


@pytest.fixture(scope="session")
async def moto(aws: str) -> AsyncIterator[S3ObjectStore]:
    """A bucket in moto."""
    store = S3ObjectStore.connect(_moto_settings(aws))
    await store.ensure_bucket()
    yield store
    await store.close()


def _moto_settings(endpoint: str) -> Settings:
    return Settings(
        s3_endpoint_url=endpoint,
        s3_access_key_id="test",
        s3_secret_access_key="test",
        s3_bucket="outputs",
        part_size_bytes=5 * MIB,
    )


@pytest.fixture
def stored(objects: ObjectStore, tmp_path: Path) -> Stored:
    """Uploads these bytes as a worker does; returns the output."""

    async def upload(body: bytes) -> Output:
        path, key = tmp_path / "made", f"t/ann/out/{new_id()}/1/result.pdf"
        path.write_bytes(body)
        digest = await objects.upload(path, key, content_type="application/pdf", filename="a.pdf")
        return Output(
            key=key,
            filename="a.pdf",
            content_type="application/pdf",
            size_bytes=digest.size_bytes,
            sha256=digest.sha256,
            sha512=digest.sha512,
            etag=digest.etag,
        )

    return upload


def a_target(source: Output) -> Output:
    return msgspec.structs.replace(source, key=f"t/ann/out/{new_id()}/1/copy.pdf", etag=None)


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_uploaded_output_is_proven_by_etag_or_content(
    objects: ObjectStore, stored: Stored, size_bytes: int
) -> None:
    output = await stored(b"x" * size_bytes)

    verdict = judge(output, await objects.head(output.key))

    assert verdict is (Verdict.INTACT if output.etag else Verdict.UNPROVEN)
    assert await judge_content(objects, output) is Verdict.INTACT
    (listed,) = (await objects.list_page(output.key, after=None, limit=5)).objects
    assert (listed.etag.strip('"') or None) == output.etag


async def test_replaced_output_of_the_same_size_is_damaged(objects: ObjectStore, stored: Stored) -> None:
    output: Output = await stored(b"these bytes")
    await objects.put(output.key, b"other bytes", content_type="application/pdf")

    assert judge(output, await objects.head(output.key)) is Verdict.UNPROVEN
    assert await judge_content(objects, output) is Verdict.DAMAGED
    with pytest.raises(ResultLost):
        await copy_output(objects, output, a_target(output))


async def test_truncated_output_is_damaged_by_its_metadata(objects: ObjectStore, stored: Stored) -> None:
    output: Output = await stored(b"these bytes")
    await objects.put(output.key, b"these", content_type="application/pdf")

    assert judge(output, await objects.head(output.key)) is Verdict.DAMAGED


async def test_deleted_output_is_missing(objects: ObjectStore, stored: Stored) -> None:
    output: Output = await stored(b"these bytes")
    await objects.delete([output.key])

    assert judge(output, await objects.head(output.key)) is Verdict.MISSING
    assert await judge_content(objects, output) is Verdict.MISSING
    with pytest.raises(SourceGone):
        await objects.hash(output.key, size_bytes=output.size_bytes)
    with pytest.raises(ResultLost):
        await copy_output(objects, output, a_target(output))


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_copy_is_proven_and_has_its_own_etag(objects: ObjectStore, stored: Stored, size_bytes: int) -> None:
    output: Output = await stored(b"y" * size_bytes)

    copied = await copy_output(objects, output, a_target(output))

    assert copied.sha256 == output.sha256
    assert (copied.etag is None) == (output.etag is None)
    assert await judge_content(objects, copied) is Verdict.INTACT


async def test_output_of_an_older_record_is_proven_by_content(objects: ObjectStore, stored: Stored) -> None:
    """Records of the previous version hold no ETag."""
    output: Output = msgspec.structs.replace(await stored(b"these bytes"), etag=None)

    copied = await copy_output(objects, output, a_target(output))

    assert await judge_content(objects, copied) is Verdict.INTACT
