"""Downloads are verified, resumed, and never overwrite an existing file (C7, M2)."""

import hashlib
from pathlib import Path

import httpx2
import pytest

from converto_client import AsyncConverto, ResultLost, TransferError
from converto_client.transfers.names import LONGEST_NAME_BYTES, clean_name
from tests.unit.client.fake_service import FakeService, streamed

BODY = bytes(range(250)) * 40


async def test_saved_result_is_complete_without_part_file(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    progress: list[int] = []
    conversion = await (await client.convert(deck, "pdf")).wait()
    saved = await conversion.save(tmp_path / "out", on_bytes=progress.append)

    assert saved == [tmp_path / "out" / "deck.pdf"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deck.pdf"]
    assert sum(progress) == len(b"%PDF result")


async def test_pages_are_saved_in_order(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [(f"deck-{page:02d}.png", f"page {page}".encode()) for page in range(1, 12)]
    conversion = await (await client.convert(deck, "png")).wait()
    saved = await conversion.save(tmp_path)

    assert [path.read_text() for path in saved] == [f"page {page}" for page in range(1, 12)]


async def test_broken_download_fetches_only_the_rest(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [("deck.pdf", BODY)]
    broken = httpx2.Response(200, content=streamed(BODY[:4000], httpx2.ReadError("cut")))
    service.fail("GET", "/out/conversion-1/1", broken)
    progress: list[int] = []
    conversion = await (await client.convert(deck, "pdf")).wait()
    saved = await conversion.save(tmp_path / "out", on_bytes=progress.append)

    assert saved[0].read_bytes() == BODY
    assert service.sent("GET", "/out/conversion-1/1")[-1].headers["range"] == "bytes=4000-"
    assert sum(progress) == len(BODY)


async def test_part_file_of_an_earlier_process_is_resumed(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [("deck.pdf", BODY)]
    mark = hashlib.sha256(BODY).hexdigest()[:16]
    (tmp_path / f".converto-conversion-1-1-{mark}.part").write_bytes(BODY[:9000])
    conversion = await (await client.convert(deck, "pdf")).wait()
    saved = await conversion.save(tmp_path)

    assert saved[0].read_bytes() == BODY
    assert service.sent("GET", "/out/conversion-1/1")[0].headers["range"] == "bytes=9000-"


async def test_corrupt_part_file_is_fetched_again(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [("deck.pdf", BODY)]
    mark = hashlib.sha256(BODY).hexdigest()[:16]
    (tmp_path / f".converto-conversion-1-1-{mark}.part").write_bytes(b"x" * 100)
    conversion = await (await client.convert(deck, "pdf")).wait()
    saved = await conversion.save(tmp_path)

    assert saved[0].read_bytes() == BODY


async def test_wrong_checksum_saves_nothing(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [("deck.pdf", BODY)]
    for _ in range(6):
        service.fail("GET", "/out/conversion-1/1", httpx2.Response(200, content=streamed(b"y" * len(BODY))))
    conversion = await (await client.convert(deck, "pdf")).wait()

    with pytest.raises(TransferError, match="checksum differs"):
        await conversion.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


async def test_expired_download_url_is_renewed(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.fail("GET", "/out/conversion-1/1", httpx2.Response(403))
    conversion = await (await client.convert(deck, "pdf")).wait()
    saved = await conversion.save(tmp_path)

    assert saved[0].read_bytes() == b"%PDF result"
    assert len(service.sent("GET", "/api/v1/conversions/conversion-1/outputs")) == 2


async def test_existing_file_is_not_overwritten(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    (tmp_path / "deck.pdf").write_text("mine")
    conversion = await (await client.convert(deck, "pdf")).wait()
    first, second = await conversion.save(tmp_path), await conversion.save(tmp_path)
    (replaced,) = await conversion.save(tmp_path, overwrite=True)

    assert [first[0].name, second[0].name] == ["deck (2).pdf", "deck (3).pdf"]
    assert replaced.read_bytes() == b"%PDF result"


async def test_single_result_takes_the_given_file_name(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    conversion = await (await client.convert(deck, "pdf")).wait()

    assert await conversion.save(tmp_path / "renamed.pdf") == [tmp_path / "renamed.pdf"]


async def test_result_name_with_path_stays_in_the_folder(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.results = [("../../etc/passwd", b"bad")]
    conversion = await (await client.convert(deck, "pdf")).wait()
    (saved,) = await conversion.save(tmp_path / "out")

    assert saved == tmp_path / "out" / "passwd"


@pytest.mark.parametrize(
    ("untrusted", "clean"),
    [
        ("deck.pdf", "deck.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.pdf", "a.pdf"),
        ("a\x00b\x1b[31m\n.pdf", "ab[31m.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("..", "output"),
        ("", "output"),
        (".hidden", "hidden"),
        ('a<b>:"c|?*.pdf', "a_b___c___.pdf"),
        ("CON.pdf", "_CON.pdf"),
        ("Präsentation 2.pdf", "Präsentation 2.pdf"),
    ],
)
def test_untrusted_name_becomes_safe(untrusted: str, clean: str) -> None:
    assert clean_name(untrusted) == clean


def test_long_name_keeps_its_extension() -> None:
    name = clean_name("ü" * 400 + ".pdf")

    assert len(name.encode()) <= LONGEST_NAME_BYTES
    assert name.endswith("ü.pdf")


@pytest.mark.parametrize("status", [200, 404])
async def test_lost_result_is_reported_by_the_server(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path, status: int
) -> None:
    """Wrong bytes, or none: the client asks the server, which looks at what it has."""
    conversion = await (await client.convert(deck, "pdf")).wait()
    links = await conversion.outputs()
    wrong = b"?" * links[0].size_bytes
    service.fail("GET", "/out/conversion-1/1", httpx2.Response(status, content=streamed(wrong)))
    service.lost_after_outputs = 1

    with pytest.raises(ResultLost, match="retry"):
        await conversion.save(tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


async def test_bytes_damaged_on_the_way_are_fetched_again(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    conversion = await (await client.convert(deck, "pdf")).wait()
    wrong = b"?" * (await conversion.outputs())[0].size_bytes
    service.fail("GET", "/out/conversion-1/1", httpx2.Response(200, content=streamed(wrong)))

    (saved,) = await conversion.save(tmp_path / "out")

    assert saved.read_bytes() == b"%PDF result"


async def test_call_after_a_lost_result_starts_a_new_conversion(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    service.lost_after_outputs = 0
    conversion = await (await client.convert(deck, "pdf")).wait()
    with pytest.raises(ResultLost):
        await conversion.save(tmp_path)

    assert (await client.convert(deck, "pdf")).id != conversion.id
