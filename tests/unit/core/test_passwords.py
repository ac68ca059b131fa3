"""The password of a source: it is not shown, leaves its record with the end of the conversion, and forbids caching."""

import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from converto_core.conversion import processing, transitions
from converto_core.conversion.cache_key import cache_key
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Status
from converto_core.formats import Family
from converto_core.secret import Secret
from tests.contract.samples import NOW_MS, OUTPUT, PLAN, a_conversion, a_pending_conversion, a_running_conversion
from tests.unit.core.applied import after
from tests.unit.core.test_cache_key import CONTENT, OFFERS

LOCKED: dict[str, Any] = {"has_password": True, "sealed_password": "1.sealed"}


def completed_from_cache(one: Conversion) -> Change:
    made = a_running_conversion(status=Status.COMPLETED)
    return transitions.complete_from_cache(
        one, source_format="pptx", plan=PLAN, family=Family.OFFICE, outputs=(OUTPUT,), made=made, now_ms=NOW_MS
    )


ENDS: list[tuple[Conversion, Callable[[Conversion], Change]]] = [
    (a_conversion(**LOCKED), completed_from_cache),
    (a_conversion(**LOCKED), lambda one: transitions.expire_upload(one, now_ms=NOW_MS)),
    (
        a_conversion(**LOCKED),
        lambda one: transitions.refuse(one, code="x", message="y", now_ms=NOW_MS, source_format=None),
    ),
    (a_pending_conversion(**LOCKED), lambda one: transitions.cancel_waiting(one.id, owner="ann", now_ms=NOW_MS)),
    (
        a_running_conversion(**LOCKED),
        lambda one: processing.complete(one, outputs=(OUTPUT,), engine_versions={}, now_ms=NOW_MS),
    ),
    (a_running_conversion(**LOCKED), lambda one: processing.cancel_running(one, now_ms=NOW_MS)),
    (
        a_running_conversion(**LOCKED),
        lambda one: processing.fail(one, code="x", message="y", now_ms=NOW_MS, beat_seen=one.beat),
    ),
]


@pytest.mark.parametrize(("start", "end"), ENDS)
async def test_every_end_removes_the_password(start: Conversion, end: Callable[[Conversion], Change]) -> None:
    ended = await after(start, end(start))

    assert ended.is_terminal
    assert (ended.has_password, ended.sealed_password) == (True, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: processing.hand_back(one, now_ms=NOW_MS),
        lambda one: processing.worker_lost(one, now_ms=NOW_MS),
        lambda one: processing.retry_later(one, code="x", message="y", wait_ms=1, now_ms=NOW_MS),
    ],
)
async def test_another_attempt_keeps_the_password(change: Callable[[Conversion], Change]) -> None:
    start = a_running_conversion(**LOCKED)

    assert (await after(start, change(start))).sealed_password == "1.sealed"


@pytest.mark.parametrize("sealed", [None, "1.other"])
async def test_retry_brings_its_own_password(sealed: str | None) -> None:
    start = a_running_conversion(status=Status.FAILED, has_password=True)
    change = transitions.retry(
        start, source_format="pptx", plan=PLAN, family=Family.OFFICE, now_ms=NOW_MS, sealed_password=sealed
    )

    again = await after(start, change)

    assert (again.has_password, again.sealed_password) == (sealed is not None, sealed)


def test_source_with_a_password_has_no_cache_key() -> None:
    """Else whoever has the file would get its contents without the password."""
    locked = a_pending_conversion(**LOCKED)

    assert cache_key(locked, contents=(CONTENT,), offers=OFFERS) is None
    assert cache_key(msgspec.structs.replace(locked, has_password=False), contents=(CONTENT,), offers=OFFERS)


def test_secret_is_shown_by_reveal_only() -> None:
    secret = Secret("open sesame")

    assert secret.reveal() == "open sesame"
    assert "sesame" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        msgspec.json.encode({"password": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)
