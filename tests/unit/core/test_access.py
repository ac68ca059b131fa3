"""API keys and remembered answers (behaviour M17: clients authenticate)."""

import msgspec
import pytest

from converto_core.access import ApiKey, RememberedAnswer, hash_secret, new_key_text, split_key_text


def a_key(secret: str) -> ApiKey:
    return ApiKey(id="k", owner="ann", secret_sha256=hash_secret(secret), created_at=1)


def test_new_key_splits_into_id_and_secret() -> None:
    text = new_key_text()

    split = split_key_text(text)

    assert split is not None
    key_id, secret = split
    assert text == f"cvt_{key_id}_{secret}"
    assert a_key(secret).matches(secret)
    assert secret not in msgspec.json.encode(a_key(secret)).decode()


def test_key_stored_without_is_admin_is_no_admin_key() -> None:
    old = {"id": "k", "owner": "ann", "secret_sha256": "0" * 64, "created_at": 1}

    assert msgspec.convert(old, ApiKey).is_admin is False


def test_new_keys_are_unique() -> None:
    assert len({new_key_text() for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "cvt", "cvt_", "cvt_id", "cvt_id_", "cvt__secret", "other_id_secret"])
def test_malformed_key_is_none(text: str) -> None:
    assert split_key_text(text) is None


def test_wrong_or_revoked_key_does_not_match() -> None:
    key = a_key("right")

    assert not key.matches("wrong")
    assert not key.matches("")
    assert not msgspec.structs.replace(key, is_revoked=True).matches("right")


@pytest.mark.parametrize(
    ("status", "now_ms", "stale_before_ms", "abandoned"),
    [
        (0, 1500, 1000, False),
        (0, 1500, 1001, True),
        (201, 1500, 1001, False),
        (201, 2000, 0, True),
        (0, 2000, 0, True),
    ],
    ids=["in progress", "process died", "finished", "expired", "expired in progress"],
)
def test_old_answer_is_abandoned(status: int, now_ms: int, stale_before_ms: int, abandoned: bool) -> None:
    answer = RememberedAnswer(id="ann:1", body_sha256="", claimed_at=1000, expires_at=2000, status=status)

    assert answer.is_abandoned(now_ms=now_ms, stale_before_ms=stale_before_ms) is abandoned
