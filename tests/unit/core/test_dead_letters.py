"""Dead letters as records: their reason, conversion, body and id (C4)."""

import base64
import uuid
from typing import Any

import msgspec
import pytest

from converto_core.conversion.record import Attempt, Status
from converto_core.dead_letters import (
    BODY_KEPT_BYTES,
    DeadLetter,
    DeadLetteredMessage,
    Reason,
    conversion_id_in,
    dead_letter_record,
)
from converto_core.events import encode
from converto_core.ids import new_id
from tests.contract.samples import NOW_MS, a_message, a_pending_conversion, an_event

MESSAGE = encode(a_message("one", token=3))


def a_letter(body: bytes = b"rubbish", **fields: Any) -> DeadLetteredMessage:
    start: dict[str, Any] = {
        "routing_key": "conversion_created.normal.office",
        "queue": "conversions.office.normal",
        "verdict": "rejected",
        "deaths": 1,
        "died_at": NOW_MS,
    }
    return DeadLetteredMessage(body=body, **{**start, **fields})


def stored(body: bytes, **fields: Any) -> DeadLetter:
    return dead_letter_record(a_letter(body, **fields), None, now_ms=NOW_MS + 5)


def test_id_is_stable_and_sorts_by_time() -> None:
    first, again, later = a_letter(), a_letter(), a_letter(died_at=NOW_MS + 1)

    assert first.id == again.id
    assert first.id < later.id
    assert uuid.UUID(first.id).version == 7
    assert uuid.UUID(first.id).int >> 80 == NOW_MS


@pytest.mark.parametrize(
    "other",
    [{"body": b"other"}, {"routing_key": "x"}, {"queue": None}, {"verdict": "expired"}, {"deaths": 2}],
    ids=lambda other: next(iter(other)),
)
def test_id_depends_on_the_whole_content(other: dict[str, Any]) -> None:
    assert a_letter(**other).id != a_letter().id


@pytest.mark.parametrize(
    ("body", "verdict", "reason", "words"),
    [
        (b"rubbish", "rejected", Reason.UNREADABLE, "cannot be read: not an event"),
        (b"rubbish", "delivery_limit", Reason.UNREADABLE, "cannot be read"),
        (encode(msgspec.structs.replace(a_message("one"), v=99)), "rejected", Reason.UNREADABLE, "version 99 is newer"),
        (MESSAGE, "rejected", Reason.REJECTED, "rejected it"),
        (encode(an_event("one")), "rejected", Reason.REJECTED, "not a message for workers"),
        (MESSAGE, "delivery_limit", Reason.DELIVERY_LIMIT, "delivered 21 times"),
        (MESSAGE, "expired", Reason.EXPIRED, "longer than"),
        (MESSAGE, "maxlen", Reason.MAXLEN, "exceeded the maximum length"),
        (MESSAGE, "invented_later", Reason.UNKNOWN, "did not report a reason"),
        (MESSAGE, None, Reason.UNKNOWN, "did not report a reason"),
    ],
)
def test_reason_is_recorded_as_code_and_sentence(body: bytes, verdict: str | None, reason: Reason, words: str) -> None:
    record = stored(body, verdict=verdict, deliveries=21)

    assert (record.reason, record.verdict) == (reason, verdict)
    assert words in record.explanation


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (MESSAGE, "one"),
        (b'{"type":"of_tomorrow","v":99,"id":"one","layout":[1]}', "one"),
        (b'{"id":7}', None),
        (b'{"id":"a\\u0000b"}', None),
        (b'{"id":""}', None),
        (b'{"id":"' + b"x" * 65 + b'"}', None),
        (b'{"x":' + b"[" * 100_000, None),
        (b"\xff", None),
        (b"rubbish", None),
    ],
)
def test_conversion_id_is_found_even_in_newer_versions(body: bytes, found: str | None) -> None:
    assert conversion_id_in(a_letter(body)) == found


@pytest.mark.parametrize("body", [b"rubbish", "Grüße".encode(), b"\xff\x00\x01", b"with\0nul", b"", MESSAGE])
def test_small_body_is_kept_whole(body: bytes) -> None:
    record = stored(body)

    assert record.original() == body
    assert record.size_bytes == len(body)
    assert "\0" not in record.body


@pytest.mark.parametrize(
    ("body", "is_binary"),
    [(b"x" * 1_000_000, False), (("x" + "ü" * 100_000).encode(), False), (b"\xff" * 1_000_000, True)],
    ids=["text", "cut inside a character", "binary"],
)
def test_only_the_beginning_of_a_large_body_is_kept(body: bytes, is_binary: bool) -> None:
    record = stored(body)
    kept = base64.b64decode(record.body) if record.is_binary else record.body.encode()

    assert (record.is_truncated, record.is_binary, record.size_bytes) == (True, is_binary, len(body))
    assert record.original() is None
    assert body.startswith(kept)
    assert BODY_KEPT_BYTES - 3 <= len(kept) <= BODY_KEPT_BYTES


def test_hostile_names_are_cut_and_cleaned() -> None:
    record = stored(b"", routing_key="a\0b" * 1000, queue="q\0", message_id="m\0" * 1000, verdict="v\0")

    fields = (record.routing_key, record.queue, record.message_id, record.verdict)
    assert all(field is not None and "\0" not in field and len(field) <= 255 for field in fields)


def test_known_conversion_adds_status_token_and_last_error() -> None:
    waiting = a_pending_conversion(
        id=new_id(), token=3, errors=(Attempt(attempt=1, code="engine_crashed", message="It crashed", at=NOW_MS),)
    )

    record = dead_letter_record(a_letter(encode(a_message(waiting.id, token=3))), waiting, now_ms=NOW_MS)

    assert (record.status, record.token, record.message_token) == (Status.PENDING, 3, 3)
    assert msgspec.to_builtins(record)["wakeup_token"] == 3
    assert (record.error_code, record.error_message) == ("engine_crashed", "It crashed")
