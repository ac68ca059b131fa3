"""API keys and remembered answers: who may ask, and what was answered to a repeated request."""

import hashlib
import hmac
import secrets

import msgspec


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the database knows it: not the secret but its SHA-256 in hex. `owner` stands on each record it makes.

    `is_admin`: it may also see and settle what concerns the whole installation, such as parked messages.
    """

    id: str
    owner: str
    secret_sha256: str
    created_at: int
    label: str = ""
    is_revoked: bool = False
    is_admin: bool = False

    def matches(self, secret: str) -> bool:
        """Compare in constant time."""
        return not self.is_revoked and hmac.compare_digest(self.secret_sha256, hash_secret(secret))


def hash_secret(secret: str) -> str:
    """SHA-256 in hex; the secret has 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_key_text() -> str:
    """A new key as the user sees it once: `cvt_<id>_<secret>`."""
    return f"cvt_{secrets.token_hex(6)}_{secrets.token_hex(32)}"


def split_key_text(text: str) -> tuple[str, str] | None:
    """Key id and secret of `cvt_<id>_<secret>`; None when it does not look like a key."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == "cvt" and key_id and secret else None


class NewIds(msgspec.Struct, frozen=True):
    """Ids for what a request may create. A repetition of the request gets the same, so it cannot create it twice."""

    conversion_id: str = ""
    file_id: str = ""


class RememberedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a POST that carried an Idempotency-Key. `status` 0 means: still being served.

    `id` is `<owner>:<key>`, `claim` differs with each server that serves it, `new_ids` outlive a server that died
    over it. `claimed_at` and `expires_at` are milliseconds since the epoch, UTC; a `claimed_at` of 0 is given back.
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
        """True when it has expired, or when its reservation is so old that its server must have died."""
        is_orphan = self.status == 0 and self.claimed_at < stale_before_ms
        return is_orphan or self.expires_at <= now_ms

    def replacing(self, known: "RememberedAnswer") -> "RememberedAnswer":
        """This reservation in place of a given up one: the same request may find what the first try created."""
        is_same = known.status == 0 and known.body_sha256 == self.body_sha256
        return msgspec.structs.replace(self, new_ids=known.new_ids) if is_same else self
