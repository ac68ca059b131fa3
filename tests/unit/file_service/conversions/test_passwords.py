"""Passwords of sources: sealed in the record, shown nowhere, in no cache, gone with the end."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from converto_core.conversion.processing import fail
from converto_core.conversion.record import Conversion, Status
from converto_core.ids import now_ms
from converto_infra.sealing.seals import Seals
from tests.unit.engines.test_sniff import ole2
from tests.unit.file_service.conftest import PDF, System, problem, running_system

ADDRESS = "/api/v1/conversions"
WORD = "Sesam-oeffne-dich-4711"
KEY = "5e" * 32
FILE = {"filename": "a.pdf", "size_bytes": len(PDF)}
WANTED: dict[str, Any] = {"target_format": "png", "file": FILE, "options": {"password": WORD, "dpi": 100}}


@pytest.fixture
async def locked() -> AsyncIterator[System]:
    """A service that accepts passwords."""
    async with running_system(sealing_key=SecretStr(KEY)) as system:
        yield system


def opened(record: Conversion) -> str:
    assert record.sealed_password is not None
    return Seals([bytes.fromhex(KEY)]).open(record.sealed_password, record_id=record.id).reveal()


def shown(*parts: object) -> str:
    return "".join(part.text if isinstance(part, httpx2.Response) else repr(part) for part in parts)


async def post_form(system: System, options: str, **more: str) -> httpx2.Response:
    fields = {"target_format": "png", "options": options, **more}
    return await system.api.post(ADDRESS, data=fields, files={"file": ("a.pdf", PDF, "application/pdf")})


async def test_password_is_sealed_in_the_record_and_never_shown(locked: System) -> None:
    with capture_logs() as logs:
        created = await locked.api.post(ADDRESS, json=WANTED)
        conversion_id = created.json()["conversion"]["id"]
        read = await locked.api.get(f"{ADDRESS}/{conversion_id}")
        listed = await locked.api.get(ADDRESS)
        history = await locked.api.get(f"{ADDRESS}/{conversion_id}/history")
    record = await locked.record(conversion_id)

    assert opened(record) == WORD
    assert (record.has_password, record.options) == (True, {"dpi": 100})
    assert read.json()["options"] == {"dpi": 100}
    assert WORD not in shown(created, read, listed, history, logs, record)
    assert "sealed" not in shown(created, read, listed, history)


async def test_form_may_carry_a_password_too(locked: System) -> None:
    answer = await post_form(locked, json.dumps({"password": WORD}))

    assert answer.status_code == 201, answer.text
    record = await locked.record(answer.json()["conversion"]["id"])
    assert (opened(record), record.options, record.status) == (WORD, {}, Status.PENDING)
    assert WORD not in answer.text


async def test_without_a_key_a_password_is_refused(system: System) -> None:
    headers = {"Idempotency-Key": "k-1"}
    body = problem(await system.api.post(ADDRESS, json=WANTED, headers=headers), 422, "passwords_not_accepted")

    assert "CONVERTO_SEALING_KEY" in body["detail"]
    assert (await system.api.get(ADDRESS)).json()["conversions"] == []
    plain = await system.api.post(ADDRESS, json={**WANTED, "options": {}}, headers=headers)
    assert plain.status_code == 201


@pytest.mark.parametrize("wrong", [47110815, True, "", WORD * 13, WORD + "\0"])
async def test_impossible_password_is_refused_without_showing_it(locked: System, wrong: object) -> None:
    answers = [
        await locked.api.post(ADDRESS, json={**WANTED, "options": {"password": wrong}}),
        await locked.api.post("/api/v1/plans", json={**plan(), "options": {"password": wrong}}),
        await post_form(locked, json.dumps({"password": wrong})),
    ]

    for answer in answers:
        body = problem(answer, 422, "options_invalid")
        assert body["errors"][0]["pointer"] == "/options/password"
        assert not wrong or str(wrong) not in answer.text


async def test_route_without_passwords_refuses_the_option(locked: System) -> None:
    wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 5}, "options": {"password": WORD}}
    answer = await locked.api.post(ADDRESS, json=wanted)

    body = problem(answer, 422, "options_invalid")
    assert 'no option "password"' in body["detail"]
    assert WORD not in answer.text


def plan() -> dict[str, Any]:
    return {"target_format": "png", "filename": "a.pdf"}


async def test_schema_shows_a_write_only_password(locked: System) -> None:
    answer = await locked.api.post("/api/v1/plans", json={**plan(), "options": {"password": WORD}})

    schema = answer.json()["options_schema"]["properties"]["password"]
    assert (schema["writeOnly"], schema["maxLength"], "default" in schema) == (True, 255, False)
    assert WORD not in answer.text
    other = await locked.api.post("/api/v1/plans", json={"target_format": "webp", "filename": "a.png"})
    assert "password" not in other.json()["options_schema"]["properties"]


async def test_same_key_with_another_password_is_a_mismatch(locked: System) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await locked.api.post(ADDRESS, json=WANTED, headers=headers)
    again = await locked.api.post(ADDRESS, json=WANTED, headers=headers)
    other = await locked.api.post(ADDRESS, json={**WANTED, "options": {"password": "x", "dpi": 100}}, headers=headers)

    assert (first.status_code, again.content) == (201, first.content)
    problem(other, 422, "idempotency_mismatch")


async def test_password_neither_uses_nor_fills_the_cache(locked: System) -> None:
    with_word = (await post_form(locked, json.dumps({"password": WORD}))).json()["conversion"]["id"]
    done = await locked.completed(with_word)

    assert done.cache_key is None
    again = (await post_form(locked, json.dumps({"password": WORD}))).json()["conversion"]
    without = (await post_form(locked, "{}")).json()["conversion"]
    assert [again["status"], without["status"]] == ["pending", "pending"]


@pytest.mark.parametrize("end", ["completed", "cancelled"])
async def test_end_removes_the_sealed_password(locked: System, end: str) -> None:
    conversion_id = await locked.pending(PDF, "a.pdf", "png", options={"password": WORD})
    assert opened(await locked.record(conversion_id)) == WORD
    if end == "completed":
        await locked.completed(conversion_id)
    else:
        await locked.api.post(f"{ADDRESS}/{conversion_id}/cancel")

    record = await locked.record(conversion_id)
    assert (record.status.value, record.has_password, record.sealed_password) == (end, True, None)


async def failed(system: System, **fields: Any) -> str:
    conversion_id = await system.pending(PDF, "a.pdf", "png", **fields)
    running = await system.claimed(conversion_id)
    await system.apply(fail(running, code="password_wrong", message="no", now_ms=now_ms()))
    return conversion_id


async def test_retry_without_the_password_is_refused(locked: System) -> None:
    conversion_id = await failed(locked, options={"password": WORD})

    body = problem(await locked.api.post(f"{ADDRESS}/{conversion_id}/retry"), 409, "password_missing")
    assert "new conversion" in body["detail"]


@pytest.mark.parametrize("fields", [{}, {"options": {"password": "wrong"}}])
async def test_retry_takes_a_password(locked: System, fields: dict[str, Any]) -> None:
    conversion_id = await failed(locked, **fields)

    answer = await locked.api.post(f"{ADDRESS}/{conversion_id}/retry", json={"password": WORD})

    record = await locked.record(conversion_id)
    assert (answer.status_code, record.status, record.has_password) == (202, Status.PENDING, True)
    assert opened(record) == WORD
    assert WORD not in answer.text


async def test_retry_without_a_key_refuses_a_password(system: System) -> None:
    conversion_id = await failed(system)

    answer = await system.api.post(f"{ADDRESS}/{conversion_id}/retry", json={"password": WORD})

    problem(answer, 422, "passwords_not_accepted")


async def test_encrypted_document_is_accepted_with_a_password(locked: System) -> None:
    """I13: without one it is refused as soon as its bytes are here."""
    content = encrypted_doc()
    waiting = await locked.pending(content, "old.doc", "pdf", options={"password": WORD})
    refused = await locked.pending(content, "old.doc", "pdf")

    accepted, other = await locked.record(waiting), await locked.record(refused)
    assert (accepted.status, accepted.source_format) == (Status.PENDING, "doc")
    assert (other.status, other.error_code) == (Status.FAILED, "source_encrypted")
    assert "option password" in (other.error_message or "")


def encrypted_doc() -> bytes:
    return ole2(["WordDocument"], first_stream=b"\xec\xa5" + b"\0" * 9 + b"\x01\0")
