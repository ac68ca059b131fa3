"""Files that are joined to a source: each is fetched, checked and passed on in order."""

from pathlib import Path

import pytest

from converto_core.conversion.processing import claim
from converto_core.conversion.record import Appended, Conversion
from converto_core.errors import BadSource, EngineError, MislabelledSource, SourceGone
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.fakes import FakeConverter
from tests.unit.conversion_worker.harness import Harness


async def join(job: Job) -> list[Product]:
    product = job.folder / "made.pdf"
    product.write_bytes(b"".join(path.read_bytes() for path in (job.source, *job.more)))
    return [Product(path=product)]


async def run(harness: Harness, folder: Path, converter: FakeConverter, *appended: Appended) -> Conversion:
    record = await harness.request(b"one ", appended=appended, filename="notes-and-more.txt")
    claimed = await harness.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=0))
    assert claimed is not None
    finished = await (await harness.runner([converter])).run(claimed, folder, lambda *_: None)
    (output,) = finished.outputs
    await harness.objects.download(output.key, folder / "result")
    return claimed


async def test_converter_gets_appended_files_in_order_beside_the_source(harness: Harness, tmp_path: Path) -> None:
    files = [await harness.upload(content) for content in (b"two ", b"three")]
    converter = FakeConverter(join, joins=True)

    await run(harness, tmp_path, converter, Appended(files[1].id, 1), Appended(files[0].id, 1))

    (job,) = converter.jobs
    assert job.title == "notes-and-more"
    assert (tmp_path / "result").read_bytes() == b"one threetwo "
    assert {path.parent for path in job.more} == {job.source.parent}


async def test_error_names_the_file_that_is_missing_or_mislabelled(harness: Harness, tmp_path: Path) -> None:
    picture = await harness.upload(b"\x89PNG\r\n\x1a\n" + b"\x00" * 60)
    converter = FakeConverter(join, joins=True)

    with pytest.raises(SourceGone, match="File 2 of 2"):
        await run(harness, _room(tmp_path, "one"), converter, Appended("no-such-file", 1))
    with pytest.raises(MislabelledSource, match="File 2 of 2"):
        await run(harness, _room(tmp_path, "two"), converter, Appended(picture.id, 1))
    assert converter.jobs == []


async def test_appended_bytes_that_differ_from_the_declared_ones_fail(harness: Harness, tmp_path: Path) -> None:
    file = await harness.upload(b"two ")
    await harness.objects.put(file.key, b"something longer", content_type="text/plain")

    with pytest.raises(BadSource, match="bytes") as caught:
        await run(harness, tmp_path, FakeConverter(join, joins=True), Appended(file.id, 1))
    assert caught.value.stable_code == "size_mismatch"


async def test_converter_that_cannot_join_fails_the_job(harness: Harness, tmp_path: Path) -> None:
    file = await harness.upload(b"two ")

    with pytest.raises(EngineError, match="cannot join"):
        await run(harness, tmp_path, FakeConverter(join), Appended(file.id, 1))


def _room(folder: Path, name: str) -> Path:
    room = folder / name
    room.mkdir()
    return room
