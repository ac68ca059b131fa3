"""Uploads through a restart of the object store: what it has lost is sent again, and errors say what happened (C7)."""

from pathlib import Path

import httpx2
import pytest

from converto_client import AsyncConverto, Converto, Retry, TransferError
from tests.unit.client.fake_service import BASE, KEY, FakeService, problem

PART_BYTES = 2_000
PARTS = 13
"""25,600 bytes in parts of 2,000."""


@pytest.fixture
def service() -> FakeService:
    return FakeService(part_size_bytes=PART_BYTES)


def lose_before(service: FakeService, *put_numbers: int) -> None:
    """Lose the upload before these requests that send a part, counted from 1."""
    seen = 0

    def before(request: httpx2.Request) -> None:
        nonlocal seen
        if request.method == "PUT":
            seen += 1
            if seen in put_numbers:
                service.lose_uploads()

    service.before = before


def puts(service: FakeService) -> int:
    return len(service.sent("PUT", "/file-1"))


@pytest.mark.parametrize("put_number", [1, 2, 7, PARTS])
async def test_upload_lost_meanwhile_is_sent_again(
    client: AsyncConverto, service: FakeService, deck: Path, put_number: int
) -> None:
    progress: list[int] = []
    lose_before(service, put_number)
    conversion = await client.convert(deck, "pdf", on_bytes=progress.append)

    assert conversion.record.status == "pending"
    assert service.objects["file-1"] == deck.read_bytes()
    assert sum(progress) == deck.stat().st_size


async def test_upload_lost_with_broken_connections_is_sent_again(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """A server that refuses a part early may close the connection before its answer is read."""
    service.breaks_when_lost = True
    lose_before(service, 6)
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


async def test_second_loss_is_survived_too(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    lose_before(service, 5, 12, 20)
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


async def test_loss_after_the_last_part_is_noticed_at_the_confirmation(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    progress: list[int] = []
    is_lost = False

    def lose_once(request: httpx2.Request) -> None:
        nonlocal is_lost
        if request.url.path.endswith("/uploaded") and not is_lost:
            is_lost = True
            service.lose_uploads()

    service.before = lose_once
    await client.convert(deck, "pdf", on_bytes=progress.append)

    assert puts(service) == 2 * PARTS
    assert service.objects["file-1"] == deck.read_bytes()
    assert sum(progress) == deck.stat().st_size


async def test_lost_parts_are_sent_again_by_a_rerun(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    """The entry of the first run names a file whose upload the store has lost since."""
    service.fail("PUT", "/file-1", httpx2.Response(400, text="<Code>BadDigest</Code>"))
    with pytest.raises(TransferError):
        await client.convert(deck, "pdf")
    service.lose_uploads()
    conversion = await client.convert(deck, "pdf")

    assert conversion.id == "conversion-1"
    assert service.objects["file-1"] == deck.read_bytes()


async def test_store_that_loses_every_upload_is_given_up(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    lose_before(service, *range(1, 10_000))
    with pytest.raises(TransferError) as failed:
        await client.convert(deck, "pdf")

    assert "lost" in str(failed.value)
    assert puts(service) < 300


async def test_parts_joined_by_another_client_are_only_confirmed(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """Two runs of one command share an upload; the other one ends first."""
    progress: list[int] = []

    def other_ends(request: httpx2.Request) -> None:
        if request.method == "PUT" and request.url.params["part"] == "6":
            service.objects["file-1"] = deck.read_bytes()
            service.files["file-1"]["status"] = "uploaded"
            service.lose_uploads()

    service.before = other_ends
    await client.convert(deck, "pdf", on_bytes=progress.append)

    assert service.objects["file-1"] == deck.read_bytes()
    assert sum(progress) == deck.stat().st_size


async def test_short_outage_of_the_store_is_waited_for(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    """A store takes seconds to restart; six quick attempts would be over by then."""
    service.part_size_bytes = 100_000  # one part
    service.before = lambda request: _refuse(request) if request.method == "PUT" and sum(pauses) < 25 else None
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


async def test_outage_without_end_is_given_up(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    service.before = lambda request: _refuse(request) if request.method == "PUT" else None
    with pytest.raises(TransferError, match="connection was refused"):
        await client.convert(deck, "pdf")

    assert 30 <= sum(pauses) < 4 * 60


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx2.ReadError("reset"), "connection broke"),
        (httpx2.Response(403, text="<Code>AccessDenied</Code>"), r"403 \(AccessDenied\): the upload URL has expired"),
        (httpx2.Response(503, text="<Code>SlowDown</Code>"), r"answered 503 \(SlowDown\)"),
        (httpx2.Response(404, text="<Code>NoSuchUpload</Code>"), "lost the upload"),
        (httpx2.Response(404, text="<Code>NoSuchBucket</Code>"), r"refused deck.pptx: it answered 404 \(NoSuchBucket"),
    ],
)
async def test_failed_upload_says_what_happened(
    client: AsyncConverto, service: FakeService, deck: Path, answer: httpx2.Response | Exception, words: str
) -> None:
    service.fail("PUT", "/file-1", answer, times=1000)

    with pytest.raises(TransferError, match=words):
        await client.convert(deck, "pdf")


async def test_unreachable_store_at_the_service_is_waited_for(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """The service cannot list parts while the store restarts."""
    away = problem(503, "object_store_unavailable", retryable=True)
    service.fail("GET", "/api/v1/files/file-1/parts", away, times=8)
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


def test_blocking_client_sends_lost_parts_again(service: FakeService, deck: Path) -> None:
    lose_before(service, 7)
    with Converto(BASE, KEY, http=service.transport(), retry=Retry(base_s=0.001)) as client:
        client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


def _refuse(request: httpx2.Request) -> None:
    raise httpx2.ConnectError("refused", request=request)
