"""A result that the object store has lost is never handed out or copied, and a retry makes it again (C2, I8, P7)."""

import asyncio

import pytest

from converto_core.conversion.history import Entry
from converto_core.conversion.record import Conversion, HistoryEvent, Status
from file_service.conversions import output_check
from tests.unit.file_service.conftest import PNG, System, problem
from tests.unit.file_service.conversions.test_result_cache import form, made

ADDRESS = "/api/v1/conversions"
DAMAGES = ["missing", "replaced", "truncated"]


async def a_result(system: System, *bodies: bytes) -> Conversion:
    return await system.completed(await system.pending(), *(bodies or (b"result",)))


async def damage(system: System, conversion: Conversion, how: str, *, number: int = 1) -> None:
    key = conversion.outputs[number - 1].key
    if how == "missing":
        await system.objects.delete([key])
    else:
        body = b"RESULT" if how == "replaced" else b"res"
        await system.objects.put(key, body, content_type="image/webp")


async def events_of(system: System, conversion_id: str) -> list[HistoryEvent]:
    found: list[Entry] = await system.stores.history.of(conversion_id, owner="anna")
    return [entry.event for entry in found]


@pytest.mark.parametrize("path", ["outputs", "outputs/1"])
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("has_etags", [True, False])
async def test_lost_result_is_a_problem_and_marks_the_record(
    system: System, how: str, path: str, has_etags: bool
) -> None:
    system.objects.has_etags = has_etags
    conversion = await a_result(system)
    await damage(system, conversion, how)

    answer = await system.api.get(f"{ADDRESS}/{conversion.id}/{path}", follow_redirects=False)

    found = problem(answer, 410, "result_lost")
    assert found["retryable"] is True
    assert f"{ADDRESS}/{conversion.id}/retry" in found["detail"]
    assert [error["pointer"] for error in found["errors"]] == ["/outputs/1"]
    body = (await system.api.get(f"{ADDRESS}/{conversion.id}")).json()
    assert (body["status"], body["error"]["code"], body["error"]["retryable"]) == ("completed", "result_lost", True)
    assert body["result_lost_at"] is not None


async def test_intact_result_is_handed_out(system: System) -> None:
    conversion = await a_result(system)

    answer = await system.api.get(f"{ADDRESS}/{conversion.id}/outputs/1", follow_redirects=False)

    assert answer.status_code == 307
    assert (await system.api.get(f"{ADDRESS}/{conversion.id}")).json()["result_lost_at"] is None


async def test_store_that_is_away_is_503_and_marks_nothing(system: System) -> None:
    """Away, refused and missing are different."""
    conversion = await a_result(system)
    system.objects.is_away = True

    for path in ("outputs", "outputs/1"):
        answer = await system.api.get(f"{ADDRESS}/{conversion.id}/{path}", follow_redirects=False)
        problem(answer, 503, "object_store_unavailable")

    assert (await system.record(conversion.id)).result_lost_at is None


@pytest.mark.parametrize("path", ["outputs", "outputs/1"])
async def test_unreadable_result_is_not_called_an_outage(system: System, path: str) -> None:
    conversion = await a_result(system)
    system.objects.is_broken = lambda key: key == conversion.outputs[0].key

    answer = await system.api.get(f"{ADDRESS}/{conversion.id}/{path}", follow_redirects=False)

    found = problem(answer, 503, "object_store_unavailable")
    assert "is running but cannot read" in found["detail"]
    assert "administrator" in found["detail"]
    assert (await system.record(conversion.id)).result_lost_at is None


async def never_read(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_known_as_lost", [True, False])
@pytest.mark.parametrize("path", ["outputs", "outputs/1"])
async def test_damaged_result_is_not_handed_out_while_the_store_hangs(
    system: System, monkeypatch: pytest.MonkeyPatch, path: str, *, is_known_as_lost: bool
) -> None:
    """A result was known to be damaged; during a black hole it counted as found again, and its bytes were served."""
    system.objects.has_etags = False
    conversion = await a_result(system)
    await damage(system, conversion, "replaced")
    address = f"{ADDRESS}/{conversion.id}/{path}"
    if is_known_as_lost:
        problem(await system.api.get(address, follow_redirects=False), 410, "result_lost")
    monkeypatch.setattr(output_check, "HASH_TIMEOUT_S", 0.01)
    monkeypatch.setattr(system.objects, "hash", never_read)

    problem(await system.api.get(address, follow_redirects=False), 503, "object_store_unavailable")

    is_lost = (await system.record(conversion.id)).result_lost_at is not None
    assert is_lost is is_known_as_lost


@pytest.mark.parametrize("is_known_as_lost", [True, False])
async def test_large_result_that_cannot_be_proven(
    system: System, monkeypatch: pytest.MonkeyPatch, *, is_known_as_lost: bool
) -> None:
    """It is left to the client to compare its hash, unless it is known to be lost."""
    system.objects.has_etags = False
    conversion = await a_result(system)
    if is_known_as_lost:
        await damage(system, conversion, "replaced")
        problem(await system.api.get(f"{ADDRESS}/{conversion.id}/outputs"), 410, "result_lost")
    monkeypatch.setattr(output_check, "MAX_HASHED_BYTES", 1)

    answer = await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")

    if is_known_as_lost:
        problem(answer, 410, "result_lost")
    else:
        assert answer.status_code == 200


async def test_other_pages_of_a_lost_result_stay_downloadable(system: System) -> None:
    conversion = await a_result(system, b"page 1", b"page 2", b"page 3")
    await damage(system, conversion, "missing", number=2)

    listed = problem(await system.api.get(f"{ADDRESS}/{conversion.id}/outputs"), 410, "result_lost")
    statuses = [
        (await system.api.get(f"{ADDRESS}/{conversion.id}/outputs/{number}", follow_redirects=False)).status_code
        for number in (1, 2, 3)
    ]

    assert [error["pointer"] for error in listed["errors"]] == ["/outputs/2"]
    assert statuses == [307, 410, 307]


async def test_missing_page_among_many_is_found_by_listing(system: System) -> None:
    conversion = await a_result(system, *(b"page" for _ in range(20)))
    intact = await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")
    await damage(system, conversion, "missing", number=17)

    listed = problem(await system.api.get(f"{ADDRESS}/{conversion.id}/outputs"), 410, "result_lost")

    assert intact.status_code == 200
    assert [error["pointer"] for error in listed["errors"]] == ["/outputs/17"]


async def test_mark_is_made_once_by_many_requests(system: System) -> None:
    conversion = await a_result(system)
    await damage(system, conversion, "missing")

    address = f"{ADDRESS}/{conversion.id}/outputs"
    answers = await asyncio.gather(*(system.api.get(address) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {410}
    assert (await events_of(system, conversion.id)).count(HistoryEvent.RESULT_LOST) == 1


async def test_result_that_is_back_loses_its_mark(system: System) -> None:
    """An administrator restored the bucket from a backup."""
    conversion = await a_result(system)
    await damage(system, conversion, "missing")
    await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")
    await system.objects.put(conversion.outputs[0].key, b"result", content_type="image/webp")

    answer = await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")

    assert answer.status_code == 200
    assert (await system.record(conversion.id)).result_lost_at is None
    assert (await events_of(system, conversion.id))[-1] is HistoryEvent.RESULT_FOUND


@pytest.mark.parametrize("is_known", [True, False])
async def test_retry_makes_a_lost_result_again(system: System, is_known: bool) -> None:
    conversion = await a_result(system)
    await damage(system, conversion, "replaced")
    if is_known:
        await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")

    answer = await system.api.post(f"{ADDRESS}/{conversion.id}/retry")
    again = await system.completed(conversion.id, b"result")

    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["error"]) == ("pending", None)
    assert again.token == conversion.token + 1
    found = await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")
    assert await system.fetch(found.json()["outputs"][0]["url"]) == b"result"
    assert (await system.record(conversion.id)).result_lost_at is None


@pytest.mark.parametrize("how", ["missing", "truncated"])
async def test_retry_says_when_the_source_is_lost_too(system: System, how: str) -> None:
    conversion = await a_result(system)
    file = await system.stores.files.get(conversion.file_id)
    assert file is not None
    await damage(system, conversion, "missing")
    await system.objects.delete([file.key])
    if how == "truncated":
        await system.objects.put(file.key, PNG[:20], content_type="image/png")

    found = problem(await system.api.post(f"{ADDRESS}/{conversion.id}/retry"), 410, "source_gone")

    assert "upload the file again" in found["detail"]
    assert found["retryable"] is False
    assert (await system.record(conversion.id)).status is Status.COMPLETED


async def test_lost_original_is_a_problem_and_no_redirect(system: System) -> None:
    conversion = await a_result(system)
    await system.objects.delete(await system.objects.list_keys("t/anna/in/"))

    answer = await system.api.get(f"/api/v1/files/{conversion.file_id}/content", follow_redirects=False)

    problem(answer, 410, "source_gone")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("has_etags", [True, False])
async def test_lost_result_is_not_copied_and_is_marked(system: System, how: str, has_etags: bool) -> None:
    """I8: the next identical request is converted anew."""
    system.objects.has_etags = has_etags
    first = await made(system)
    await damage(system, first, how)

    second, third = await form(system), await form(system)

    assert (second["status"], third["status"]) == ("pending", "pending")
    assert (await system.record(first.id)).result_lost_at is not None
    assert (await events_of(system, first.id)).count(HistoryEvent.RESULT_LOST) == 1


async def test_copies_outlive_the_damage_of_their_original(system: System) -> None:
    first = await made(system)
    second = await form(system)
    await damage(system, first, "replaced")
    await form(system)

    found = await system.api.get(f"{ADDRESS}/{second['id']}/outputs")

    assert await system.fetch(found.json()["outputs"][0]["url"]) == b"result"


async def test_deleted_conversion_is_not_found_rather_than_lost(system: System) -> None:
    """The deletion ran between the read of the record and the look at the store."""
    conversion = await a_result(system)
    head = system.objects.head

    async def head_of_deleted(key: str) -> object:
        system.objects.head = head  # type: ignore[method-assign]
        assert (await system.api.delete(f"{ADDRESS}/{conversion.id}")).status_code == 204
        return await head(key)

    system.objects.head = head_of_deleted  # type: ignore[method-assign,assignment]

    problem(await system.api.get(f"{ADDRESS}/{conversion.id}/outputs/1"), 404, "not_found")


async def test_two_retries_of_a_lost_result_start_it_once(system: System) -> None:
    conversion = await a_result(system)
    await damage(system, conversion, "missing")

    address = f"{ADDRESS}/{conversion.id}/retry"
    answers = await asyncio.gather(*(system.api.post(address) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [202, 409]
    assert (await events_of(system, conversion.id)).count(HistoryEvent.RETRIED) == 1


async def test_deletion_of_a_lost_result_leaves_nothing(system: System) -> None:
    conversion = await a_result(system, b"page 1", b"page 2")
    await damage(system, conversion, "missing", number=2)
    await system.api.get(f"{ADDRESS}/{conversion.id}/outputs")

    assert (await system.api.delete(f"{ADDRESS}/{conversion.id}")).status_code == 204
    assert await system.objects.list_keys("t/anna/out/") == []
