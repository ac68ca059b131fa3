"""Files that are joined to a source: each is brought, checked and handed over in order."""

from pathlib import Path

import pytest

from converto_core.conversion.processing import claim
from converto_core.conversion.record import Appended, Conversion
from converto_core.errors import BadSource, EngineError, MislabelledSource, SourceGone
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.conftest import House
from tests.unit.conversion_worker.fakes import FakeConverter


async def join(job: Job) -> list[Product]:
    product = job.folder / "made.pdf"
    product.write_bytes(b"".join(path.read_bytes() for path in (job.source, *job.more)))
    return [Product(path=product)]


async def run(house: House, folder: Path, converter: FakeConverter, *appended: Appended) -> Conversion:
    record = await house.request(b"one ", appended=appended, filename="notes-and-more.txt")
    claimed = await house.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=0))
    assert claimed is not None
    finished = await (await house.runner([converter])).run(claimed, folder, lambda *_: None)
    (output,) = finished.outputs
    await house.objects.download(output.key, folder / "result")
    return claimed


async def test_join_when_files_are_appended_then_the_converter_gets_them_in_order_beside_the_source(
    house: House, tmp_path: Path
) -> None:
    files = [await house.upload(content) for content in (b"two ", b"three")]
    converter = FakeConverter(join, joins=True)

    await run(house, tmp_path, converter, Appended(files[1].id, 1), Appended(files[0].id, 1))

    (job,) = converter.jobs
    assert (tmp_path / "result").read_bytes() == b"one threetwo "
    assert {path.parent for path in job.more} == {job.source.parent}


async def test_join_when_a_file_is_gone_or_something_else_then_it_is_named(house: House, tmp_path: Path) -> None:
    picture = await house.upload(b"\x89PNG\r\n\x1a\n" + b"\x00" * 60)
    converter = FakeConverter(join, joins=True)

    with pytest.raises(SourceGone, match="File 2 of 2"):
        await run(house, _room(tmp_path, "one"), converter, Appended("no-such-file", 1))
    with pytest.raises(MislabelledSource, match="File 2 of 2"):
        await run(house, _room(tmp_path, "two"), converter, Appended(picture.id, 1))
    assert converter.jobs == []


async def test_join_when_the_bytes_are_not_those_announced_then_refused(house: House, tmp_path: Path) -> None:
    file = await house.upload(b"two ")
    await house.objects.put(file.key, b"something longer", content_type="text/plain")

    with pytest.raises(BadSource, match="bytes") as caught:
        await run(house, tmp_path, FakeConverter(join, joins=True), Appended(file.id, 1))
    assert caught.value.stable_code == "size_mismatch"


async def test_join_when_the_converter_cannot_then_nothing_is_left_out_silently(house: House, tmp_path: Path) -> None:
    file = await house.upload(b"two ")

    with pytest.raises(EngineError, match="cannot join"):
        await run(house, tmp_path, FakeConverter(join), Appended(file.id, 1))


def _room(folder: Path, name: str) -> Path:
    room = folder / name
    room.mkdir()
    return room
