"""API keys, and the answers remembered under idempotency keys."""

import hashlib
import hmac
import secrets

import msgspec

KEY_PREFIX = "cvt_"
"""Starts every API key, which tells it from an access token."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as stored: with the SHA-256 (hex) of the secret, never the secret. Its records get its `owner`.

    `is_admin` also permits requests that concern the whole installation, such as those for dead letters.
    """

    id: str
    owner: str
    secret_sha256: str
    created_at: int
    label: str = ""
    is_revoked: bool = False
    is_admin: bool = False

    def matches(self, secret: str) -> bool:
        """True when the secret is right and the key is not revoked; compares in constant time."""
        return not self.is_revoked and hmac.compare_digest(self.secret_sha256, hash_secret(secret))


def hash_secret(secret: str) -> str:
    """SHA-256 (hex). A slow hash would add nothing: the secret has 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_key_text() -> str:
    """A new key, `cvt_<id>_<secret>`; users see it only once."""
    return f"{KEY_PREFIX}{secrets.token_hex(6)}_{secrets.token_hex(32)}"


def split_key_text(text: str) -> tuple[str, str] | None:
    """Id and secret of `cvt_<id>_<secret>`; None when the text is not such a key."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == "cvt" and key_id and secret else None


class NewIds(msgspec.Struct, frozen=True):
    """Ids for the records a request may create. A repeated request gets the same ids, so it creates nothing twice."""

    conversion_id: str = ""
    file_id: str = ""


class RememberedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a POST with an Idempotency-Key. While `status` is 0, it is a reservation: processing goes on.

    `id` is `<owner>:<key>`. `claim` differs for each process that serves the request; `new_ids` survive a process that
    died while serving it. `claimed_at` and `expires_at` are milliseconds since the epoch, UTC; `claimed_at` is 0 after
    the reservation was released.
    """

    id: str
    body_sha256: str
    claimed_at: int
    expires_at: int
    claim: str = ""
    new_ids: NewIds = NewIds()
    status: int = 0
    body: str = ""
    location: str | None = None

    def is_abandoned(self, *, now_ms: int, stale_before_ms: int) -> bool:
        """True when the answer has expired, or the reservation is so old that its process must have died.

        A date as far in the future says as little: it comes from a clock that was ahead, and would block the key until
        that time.
        """
        is_young = abs(now_ms - self.claimed_at) <= now_ms - stale_before_ms
        return (self.status == 0 and not is_young) or self.expires_at <= now_ms

    def replacing(self, known: "RememberedAnswer") -> "RememberedAnswer":
        """This reservation in place of an abandoned one; for the same request, it takes over the `new_ids`."""
        is_same = known.status == 0 and known.body_sha256 == self.body_sha256
        return msgspec.structs.replace(self, new_ids=known.new_ids) if is_same else self
