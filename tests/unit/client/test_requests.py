"""Requests: retries with pauses, Retry-After, idempotency keys, problems as errors, live events (C8, C12, M3)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from converto_client import (
    AsyncConverto,
    Busy,
    ClientError,
    Conflict,
    ConversionFailed,
    DependencyUnavailable,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProblemError,
    Retry,
    ServerUnreachable,
    TooLarge,
    Unauthorized,
    UnsupportedConversion,
    UploadRefused,
    WaitTimeout,
)
from converto_client.errors import problem_error
from converto_client.retry import seconds_of_retry_after
from tests.unit.client.fake_service import BASE, KEY, FakeService, problem

BUSY = {"Retry-After": "3"}


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("silent"),
        httpx2.RemoteProtocolError("closed"),
        httpx2.Response(429, headers=BUSY),
        httpx2.Response(503, json={"code": "database_unavailable"}, headers=BUSY),
        httpx2.Response(409, json={"code": "request_in_flight"}, headers=BUSY),
        httpx2.Response(502, text="<html>"),
    ],
)
async def test_retried_post_keeps_its_idempotency_key(
    client: AsyncConverto,
    service: FakeService,
    deck: Path,
    pauses: list[float],
    fault: httpx2.Response | Exception,
) -> None:
    service.fail("POST", "/api/v1/conversions", fault, times=2)
    conversion = await client.convert(deck, "pdf")

    keys = {seen.headers["idempotency-key"] for seen in service.sent("POST", "/api/v1/conversions")}
    assert conversion.id == "conversion-1"
    assert len(keys) == 1
    assert len(pauses) == 2
    if isinstance(fault, httpx2.Response) and fault.headers.get("Retry-After"):
        assert all(3 <= pause < 3.5 for pause in pauses)


async def test_unanswered_request_fails_after_all_attempts(
    client: AsyncConverto, service: FakeService, pauses: list[float]
) -> None:
    service.fail("GET", "/api/v1/whoami", httpx2.ConnectError("refused"), times=50)

    with pytest.raises(ServerUnreachable, match="refused"):
        await client.whoami()
    assert len(service.sent("GET", "/api/v1/whoami")) == Retry().attempts
    assert sum(pauses) < 0.25 * (1 + 2 + 4 + 8 + 16)


@pytest.mark.parametrize(("status", "code"), [(503, "overloaded"), (429, "too_many_pending"), (429, "")])
async def test_busy_server_is_retried_more_often_than_a_broken_one(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float], status: int, code: str
) -> None:
    """I15: a refusal that says when to come back is no failure."""
    service.fail("POST", "/api/v1/conversions", httpx2.Response(status, json={"code": code}, headers=BUSY), times=12)
    conversion = await client.convert(deck, "pdf")

    assert conversion.id == "conversion-1"
    assert len({seen.headers["idempotency-key"] for seen in service.sent("POST", "/api/v1/conversions")}) == 1
    assert len(pauses) == 12
    assert all(pause >= 3 for pause in pauses)


async def test_retries_of_a_busy_server_have_a_deadline(
    client: AsyncConverto, service: FakeService, pauses: list[float]
) -> None:
    answer = httpx2.Response(503, json={"code": "overloaded"}, headers=BUSY)
    service.fail("GET", "/api/v1/whoami", answer, times=500)

    with pytest.raises(Busy):
        await client.whoami()
    assert Retry().patience_s - 15 <= sum(pauses) <= Retry().patience_s + Retry().cap_s


async def test_busy_server_without_retry_after_counts_as_broken(
    client: AsyncConverto, service: FakeService, pauses: list[float]
) -> None:
    service.fail("GET", "/api/v1/whoami", httpx2.Response(503, json={"code": "overloaded"}), times=500)

    with pytest.raises(Busy):
        await client.whoami()
    assert len(pauses) == Retry().attempts - 1


async def test_wait_obeys_retry_after_without_long_polling(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    conversion = await client.convert(deck, "pdf")
    body = {**service.conversions["conversion-1"], "status": "processing"}
    path = "/api/v1/conversions/conversion-1"
    service.fail("GET", path, httpx2.Response(200, json=body, headers={"Retry-After": "1"}))
    held_back = {"Retry-After": "1", "Preference-Applied": "wait=25"}
    service.fail("GET", path, httpx2.Response(200, json=body, headers=held_back))
    await conversion.wait()

    assert pauses == [1.0, Retry().base_s]


async def test_refused_event_stream_obeys_retry_after(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    service.events = [service.event("snapshot", "1", percent=100, status="completed")]
    conversion = await client.convert(deck, "pdf")
    service.fail("GET", ".*/events", httpx2.Response(503, json={"code": "overloaded"}, headers=BUSY))
    seen = [record.status async for record in conversion.events()]

    assert seen == ["completed"]
    assert len(pauses) == 1
    assert pauses[0] >= 3


async def test_very_long_retry_after_is_raised_to_the_caller(
    client: AsyncConverto, service: FakeService, pauses: list[float]
) -> None:
    service.fail("GET", "/api/v1/whoami", httpx2.Response(503, headers={"Retry-After": "3600"}))

    with pytest.raises(DependencyUnavailable) as caught:
        await client.whoami()
    assert (caught.value.retry_after_s, pauses) == (3600, [])


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", Unauthorized),
        (401, "token_expired", Unauthorized),
        (403, "forbidden", Forbidden),
        (403, "insufficient_scope", Forbidden),
        (403, "never_heard_of", Forbidden),
        (404, "not_found", NotFound),
        (400, "malformed_id", InvalidRequest),
        (409, "conflict", Conflict),
        (413, "too_large", TooLarge),
        (422, "unsupported_conversion", UnsupportedConversion),
        (422, "checksum_mismatch", UploadRefused),
        (422, "options_invalid", InvalidRequest),
        (418, "never_heard_of", ProblemError),
    ],
)
async def test_problem_raises_the_class_of_its_code(
    client: AsyncConverto, service: FakeService, pauses: list[float], status: int, code: str, kind: type[ProblemError]
) -> None:
    """C12."""
    answer = problem(status, code, "words", request_id="r-1", errors=[{"pointer": "/dpi", "message": "too big"}])
    service.fail("GET", "/api/v1/conversions/x", answer)

    with pytest.raises(kind, match="words") as caught:
        await client.status("x")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status, caught.value.request_id) == (code, status, "r-1")
    assert caught.value.errors[0].message == "too big"
    assert pauses == []


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (503, "dependency_unavailable"), (418, "http_418")])
def test_answer_without_problem_document_gets_a_code_by_status(status: int, code: str) -> None:
    assert problem_error(status, b"<html>").code == code


async def test_foreign_server_is_reported(client: AsyncConverto, service: FakeService) -> None:
    service.fail("GET", "/api/v1/whoami", httpx2.Response(200, text="<html>Welcome"))

    with pytest.raises(ServerUnreachable, match="check the server URL"):
        await client.whoami()


@pytest.mark.parametrize("url", ["", "converto.test", "ftp://converto.test", "http://"])
def test_malformed_server_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        AsyncConverto(url, KEY)


async def test_path_prefix_of_the_server_url_is_kept(service: FakeService) -> None:
    """M17 in part."""
    async with AsyncConverto(f"{BASE}/tools/converto/", KEY, http=service.transport()) as client:
        with pytest.raises(NotFound):
            await client.whoami()
    assert service.requests[0].url.path == "/tools/converto/api/v1/whoami"


@pytest.mark.parametrize("untrusted", ["../files/file-1", "a/b", "x?y=1", ""])
async def test_id_that_looks_like_a_path_stays_one_segment(
    client: AsyncConverto, service: FakeService, untrusted: str
) -> None:
    with pytest.raises(NotFound):
        await client.status(untrusted)
    assert service.requests[0].url.path.count("/") == 4


def test_retry_after_accepts_date_and_seconds() -> None:
    def now() -> datetime:
        return datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)

    assert seconds_of_retry_after("7") == 7
    assert seconds_of_retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now=now) == 30
    assert seconds_of_retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now=now) == 0
    assert seconds_of_retry_after("soon") is None
    assert seconds_of_retry_after(None) is None


def test_pause_uses_full_jitter_up_to_the_cap() -> None:
    retry = Retry(base_s=1, cap_s=5)

    assert [retry.pause_s(attempt, None, draw=lambda: 1.0) for attempt in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert retry.pause_s(9, None, draw=lambda: 0.0) == 0
    assert retry.pause_s(1, 10.0, draw=lambda: 0.5) == 10.5


def test_pause_for_a_busy_server_stops_growing() -> None:
    """Else whoever just came is served before whoever waits longest. A broken server is given more time."""
    busy, away = (problem_error(503, b'{"code": "%s"}' % code, retry_after_s=2.0) for code in (b"overloaded", b"x"))

    assert all(2.0 <= Retry().pause_after_s(busy, 20) <= 3.0 for _ in range(100))
    assert max(Retry().pause_after_s(away, 20) for _ in range(100)) > 3.0


async def test_conversions_iterate_over_all_pages(client: AsyncConverto, service: FakeService) -> None:
    """M3."""
    for number in range(450):
        service.conversions[f"c{number}"] = {
            "id": f"c{number}",
            "file_id": "f",
            "target_format": "pdf",
            "status": "failed" if number % 2 else "completed",
        }
    found = [record.id async for record in client.conversions()]
    failed = [record.id async for record in client.conversions(status=["failed"])]

    assert found == [f"c{number}" for number in range(450)]
    assert len(failed) == 225
    assert len(service.sent("GET", "/api/v1/conversions")) == 5


async def test_health_with_an_unavailable_dependency_is_an_answer(
    client: AsyncConverto, service: FakeService, pauses: list[float]
) -> None:
    """C3."""
    service.health = {"status": "unavailable", "checks": {"broker": {"status": "unavailable", "error": "refused"}}}

    assert (await client.health()).checks["broker"].error == "refused"
    assert pauses == []


async def test_wait_raises_the_error_of_a_failed_conversion(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """I4."""
    service.ends_as = {"status": "failed", "error": {"code": "source_encrypted", "message": "Remove the password"}}
    conversion = await client.convert(deck, "pdf")

    with pytest.raises(ConversionFailed, match="Remove the password") as caught:
        await conversion.wait()
    assert caught.value.code == "source_encrypted"
    assert list((deck.parent / "state").glob("*.json")) == []


async def test_wait_timeout_leaves_the_conversion_running(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    service.ends_as = {"status": "processing"}
    conversion = await client.convert(deck, "pdf")

    with pytest.raises(WaitTimeout, match="still p"):
        await conversion.wait(timeout_s=0.0)
    assert service.conversions["conversion-1"]["status"] in {"pending", "processing"}


async def test_broken_event_stream_resumes_without_repeats(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    """C5: progress is live."""
    ten = service.event("snapshot", "1", percent=10)
    service.events = [
        "retry: 500\n\n: ping\n\n" + ten,
        service.event("snapshot", "1", percent=10)
        + "event: ignore_report\ndata: {}\n\n"
        + service.event("conversion", "2", percent=60)
        + service.event("conversion", "3", percent=100, status="completed"),
    ]
    conversion = await client.convert(deck, "pdf")
    seen = [(record.percent, record.status) async for record in conversion.events()]

    assert seen == [(10, "processing"), (60, "processing"), (100, "completed")]
    assert service.sent("GET", ".*/events")[1].headers["last-event-id"] == "1"
    assert conversion.record.status == "completed"


async def test_polling_replaces_a_missing_stream_and_obeys_retry_after(
    client: AsyncConverto, service: FakeService, deck: Path, pauses: list[float]
) -> None:
    conversion = await client.convert(deck, "pdf")
    body = {**service.conversions["conversion-1"], "status": "processing", "percent": 40}
    path = "/api/v1/conversions/conversion-1"
    service.fail("GET", path, httpx2.Response(200, json=body, headers={"ETag": '"a"', "Retry-After": "2"}))
    service.fail("GET", path, httpx2.Response(304, headers={"ETag": '"a"', "Retry-After": "5"}))
    seen = [record.status async for record in conversion.events()]

    assert seen == ["processing", "completed"]
    assert pauses[-2:] == [2.0, 5.0]
    assert service.sent("GET", path)[-1].headers["if-none-match"] == '"a"'


async def test_event_stream_with_refused_key_is_not_retried(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    conversion = await client.convert(deck, "pdf")
    service.fail("GET", ".*/events", problem(401, "unauthorized"))

    with pytest.raises(Unauthorized):
        await anext(conversion.events())


async def test_malformed_event_is_dropped(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    service.events = ["event: conversion\ndata: {not json\n\n"] * 3
    conversion = await client.convert(deck, "pdf")

    assert [record.status async for record in conversion.events()] == ["completed"]


async def test_all_events_without_stream_raise(client: AsyncConverto, service: FakeService) -> None:
    with pytest.raises(ClientError, match="no live stream"):
        await anext(client.events(client_id="wall"))


async def test_cancel_and_retry_post_with_an_idempotency_key(
    client: AsyncConverto, service: FakeService, deck: Path
) -> None:
    conversion = await client.convert(deck, "pdf", options={"dpi": 100})
    cancelled, again = await client.cancel(conversion.id), await client.retry(conversion.id)
    created = json.loads(service.sent("POST", "/api/v1/conversions")[0].content)

    assert (cancelled.status, again.status) == ("cancelled", "pending")
    assert created["options"] == {"dpi": 100}
    assert all(seen.headers.get("idempotency-key") for seen in service.requests if seen.method == "POST")
