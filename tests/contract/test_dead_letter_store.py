"""The contract of `DeadLetterStore`."""

import asyncio
from typing import Any

import pytest

from converto_core.conversion.record import Status
from converto_core.dead_letters import DeadLetter, DeadLetteredMessage, Reason, dead_letter_record
from converto_core.errors import DuplicateKey
from converto_core.ports.dead_letters import DeadLetterFilter
from tests.contract.samples import NOW_MS, Stores, a_running_conversion


def a_message(body: bytes = b"rubbish", *, died_at: int = NOW_MS, stored_at: int = NOW_MS, **more: Any) -> DeadLetter:
    letter = DeadLetteredMessage(body=body, routing_key="k", queue="q", verdict="rejected", deaths=1, died_at=died_at)
    return dead_letter_record(letter, more.get("conversion"), now_ms=stored_at)


async def test_dead_letter_round_trips_and_is_stored_once(stores: Stores) -> None:
    running = a_running_conversion(error_code="engine_crashed", error_message="It crashed – twice")
    message = a_message(b'{"id":"one"}' + "ü".encode() * 70_000, conversion=running)

    await stores.dead_letters.insert(message)

    assert await stores.dead_letters.get(message.id) == message
    assert (message.status, message.is_truncated) == (Status.PROCESSING, True)
    with pytest.raises(DuplicateKey):
        await stores.dead_letters.insert(message)
    assert await stores.dead_letters.get("never was") is None


async def test_binary_bodies_round_trip_unchanged(stores: Stores) -> None:
    for body in (b"\xff\x00\x01", b"nul\0", b"", "$set \u2028 \U0001f600 '\"".encode()):
        message = a_message(body)
        await stores.dead_letters.insert(message)
        found = await stores.dead_letters.get(message.id)
        assert found is not None and found.original() == body


async def test_only_one_of_twenty_concurrent_inserts_succeeds(stores: Stores) -> None:
    message = a_message()

    done = await asyncio.gather(*(stores.dead_letters.insert(message) for _ in range(20)), return_exceptions=True)

    assert [result for result in done if not isinstance(result, DuplicateKey)] == [None]
    assert await stores.dead_letters.find(DeadLetterFilter()) == [message]


async def test_list_is_latest_first_and_filtered(stores: Stores) -> None:
    rubbish = [a_message(died_at=NOW_MS + number) for number in range(4)]
    one, other = (a_message(b'{"type":"conversion_created","id":"%s"}' % name) for name in (b"one", b"other"))
    for message in (*rubbish, one, other):
        await stores.dead_letters.insert(message)

    first = await stores.dead_letters.find(DeadLetterFilter(limit=2))
    rest = await stores.dead_letters.find(DeadLetterFilter(limit=3, after=first[-1].id))

    assert [message.id for message in first] == [rubbish[3].id, rubbish[2].id]
    assert rest[0].id == rubbish[1].id
    assert await stores.dead_letters.find(DeadLetterFilter(conversion_id="one")) == [one]
    assert len(await stores.dead_letters.find(DeadLetterFilter(reason=Reason.UNREADABLE))) == 6
    assert await stores.dead_letters.find(DeadLetterFilter(reason=Reason.EXPIRED)) == []


async def test_second_delete_returns_false(stores: Stores) -> None:
    message = a_message()
    await stores.dead_letters.insert(message)

    assert await stores.dead_letters.delete(message.id) is True
    assert await stores.dead_letters.delete(message.id) is False
    assert await stores.dead_letters.get(message.id) is None


async def test_old_dead_letters_are_found_oldest_first(stores: Stores) -> None:
    old, older = a_message(b"1", stored_at=NOW_MS - 1), a_message(b"2", stored_at=NOW_MS - 2)
    for message in (old, older, a_message(b"3")):
        await stores.dead_letters.insert(message)

    assert await stores.dead_letters.stored_before(NOW_MS, limit=10) == [older, old]
    assert await stores.dead_letters.stored_before(NOW_MS, limit=1) == [older]
