"""Uploads: straight to the store, in parts, through faults, and again after a crash (C7, M2)."""

import hashlib
import json
from pathlib import Path

import httpx2
import pytest

from converto_client import AsyncConverto, NotFound, SourceUnusable, TransferError, UnsupportedConversion
from converto_client.models import ConversionRecord
from tests.unit.client.fake_service import FakeService, problem


async def test_small_file_is_declared_and_uploaded_to_the_store(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    progress: list[int] = []
    conversion = await client.convert(deck, "pdf", client_id="wall", on_bytes=progress.append)
    declared = json.loads(service.sent("POST", "/api/v1/conversions")[0].content)

    assert service.objects["file-1"] == deck.read_bytes()
    assert conversion.record.status == "pending"
    assert sum(progress) == deck.stat().st_size
    assert declared["file"]["sha256"] == hashlib.sha256(deck.read_bytes()).hexdigest()
    assert declared["file"]["content_type"].endswith("presentationml.presentation")
    assert declared["client_id"] == "wall"


async def test_large_file_arrives_in_ordered_parts(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    service.part_size_bytes = 1000
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()
    assert len(service.sent("PUT", "/file-1")) == 26


async def test_resumed_upload_sends_only_missing_parts(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    """C7: resume. The connection stays away until the attempts are used up, then the same call goes on."""
    service.part_size_bytes = 10_000
    service.fail("PUT", "/file-1", httpx2.ConnectError("cut"), times=1000)
    with pytest.raises(TransferError):
        await client.convert(deck, "pdf")
    service.faults.clear()
    service.parts["file-1"] = {1: deck.read_bytes()[:10_000], 3: deck.read_bytes()[20_000:]}
    before = len(service.requests)
    progress: list[int] = []
    conversion = await client.convert(deck, "pdf", on_bytes=progress.append)

    sent = [seen.url.params["part"] for seen in service.requests[before:] if seen.method == "PUT"]
    assert sent == ["2"]
    assert service.objects["file-1"] == deck.read_bytes()
    assert conversion.id == "conversion-1"
    assert sum(progress) == deck.stat().st_size


async def test_truncated_part_is_sent_again(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    service.part_size_bytes = 10_000
    service.parts["file-1"] = {1: b"half"}
    await client.convert(deck, "pdf")

    assert service.objects["file-1"] == deck.read_bytes()


async def test_expired_part_url_is_renewed(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    service.part_size_bytes = 10_000
    service.fail("PUT", "/file-1", httpx2.Response(403, text="<Code>AccessDenied</Code>"))
    await client.convert(deck, "pdf")

    signatures = [seen.url.params["signature"] for seen in service.sent("PUT", "/file-1")]
    assert len(signatures) == len(set(signatures)) == 4
    assert service.objects["file-1"] == deck.read_bytes()


async def test_expired_upload_url_is_renewed(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    progress: list[int] = []
    service.fail("PUT", "/file-1", httpx2.Response(403))
    await client.convert(deck, "pdf", on_bytes=progress.append)

    assert service.objects["file-1"] == deck.read_bytes()
    assert len(service.sent("POST", "/api/v1/files/file-1/upload")) == 1
    assert len(pauses) == 1
    assert sum(progress) == deck.stat().st_size


async def test_permanent_refusal_of_the_store_is_not_retried(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    service.fail("PUT", "/file-1", httpx2.Response(400, text="<Error><Code>BadDigest</Code></Error>"))

    with pytest.raises(TransferError, match=r"400 \(BadDigest\)"):
        await client.convert(deck, "pdf")
    assert pauses == []


async def test_crash_before_the_answer_reuses_the_conversion(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """The idempotency key is on the disk before the request leaves."""
    await client.convert(deck, "pdf")
    (entry,) = (deck.parent / "state").glob("*.json")
    known = json.loads(entry.read_text())
    entry.write_text(json.dumps({"idempotency_key": known["idempotency_key"]}))
    service.conversions["conversion-1"]["status"] = "awaiting_upload"
    again = await client.convert(deck, "pdf")

    assert again.id == "conversion-1"
    assert len(service.conversions) == 1


async def test_other_file_or_target_starts_a_new_conversion(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    first = await client.convert(deck, "pdf")
    other_target = await client.convert(deck, "png")
    deck.write_bytes(b"another content")
    other_content = await client.convert(deck, "pdf")

    assert len({first.id, other_target.id, other_content.id}) == 3


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
async def test_earlier_conversion_without_result_is_replaced(
    client: AsyncConverto, service: FakeService, deck: Path, status: str
) -> None:
    first = await client.convert(deck, "pdf")
    service.conversions[first.id]["status"] = status
    second = await client.convert(deck, "pdf")

    assert second.id != first.id


async def test_deleted_earlier_conversion_is_replaced(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    first = await client.convert(deck, "pdf")
    await client.delete(first.id)
    with pytest.raises(NotFound):
        await client.status(first.id)
    second = await client.convert(deck, "pdf")

    assert second.id == "conversion-2"


async def test_refused_request_gets_a_new_key_next_time(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """The server remembers a refusal with its key; a worker that offers the route may have come since."""
    service.fail("POST", "/api/v1/conversions", problem(422, "unsupported_conversion"))
    with pytest.raises(UnsupportedConversion):
        await client.convert(deck, "pdf")
    await client.convert(deck, "pdf")

    first, second = service.sent("POST", "/api/v1/conversions")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_saved_results_end_the_resumption(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    first = await client.convert(deck, "pdf")
    await (await first.wait()).save(tmp_path / "out")
    second = await client.convert(deck, "pdf")

    assert second.id != first.id


async def test_kill_before_download_resumes_with_the_same_result(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    await (await client.convert(deck, "pdf")).wait()
    again = await client.convert(deck, "pdf")
    saved = await (await again.wait()).save(tmp_path / "out")

    assert again.id == "conversion-1"
    assert len(service.sent("PUT", "/file-1")) == 1
    assert saved[0].read_bytes() == b"%PDF result"


async def test_confirmation_is_retried_until_the_store_lists_the_bytes(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    late = {"code": "upload_incomplete", "status": 409, "detail": "not there yet"}
    service.fail("POST", "/api/v1/files/file-1/uploaded", httpx2.Response(409, json=late), times=2)
    conversion = await client.convert(deck, "pdf")

    assert isinstance(conversion.record, ConversionRecord)
    assert len(pauses) == 2


async def test_source_changed_during_upload_is_refused(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    def touch(_: int) -> None:
        deck.write_bytes(b"grown" * 100_000)

    with pytest.raises(SourceUnusable, match="changed"):
        await client.convert(deck, "pdf", on_bytes=touch)
    assert service.conversions["conversion-1"]["status"] == "awaiting_upload"


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (None, "cannot be read")])
async def test_empty_or_missing_source_sends_nothing(
    client: AsyncConverto, service: FakeService, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """I13 in part."""
    path = tmp_path / "a.pptx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SourceUnusable, match=words):
        await client.convert(path, "pdf")
    assert service.requests == []


async def test_plain_upload_returns_the_file_record(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    file = await client.upload(deck)

    assert (file.id, file.status) == ("file-1", "uploaded")
    assert list((deck.parent / "state").glob("*.json")) == []
