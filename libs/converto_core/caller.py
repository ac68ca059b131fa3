"""The caller of a request, its scopes, and the owner that a claim of an access token stands for."""

import string
from enum import StrEnum

import msgspec

TOKEN_OWNER_PREFIX = "oidc."  # noqa: S105 - not a secret
"""Starts the owner of every token, so that no claim can equal the owner of an API key such as `local`."""
MAX_OWNER_LENGTH = 200
"""Object stores that keep keys as paths limit each part to 255 bytes."""

_PLAIN = frozenset((string.ascii_letters + string.digits + "._-").encode())


class Scope(StrEnum):
    """What a caller may do."""

    READ = "conversions:read"
    WRITE = "conversions:write"
    ADMIN = "admin"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated caller; `owner` scopes everything the caller can read or change.

    `key_id` is empty for a token, `expires_at` (milliseconds since the epoch, UTC) is None for an API key. A token is
    accepted `leeway_ms` longer.
    """

    owner: str
    scopes: frozenset[Scope]
    key_id: str = ""
    expires_at: int | None = None
    leeway_ms: int = 0

    @property
    def is_admin(self) -> bool:
        """True when the caller may use `/admin`."""
        return Scope.ADMIN in self.scopes

    @property
    def has_token(self) -> bool:
        """True when the caller sent an access token rather than an API key."""
        return not self.key_id

    def has_expired(self, now_ms: int) -> bool:
        """True when the caller's token is no longer accepted."""
        return self.expires_at is not None and self.expires_at + self.leeway_ms <= now_ms


def is_key_owner(text: str) -> bool:
    """True for what may be the owner of an API key: letters, digits and `._-`, and no owner of tokens."""
    is_plain = text.isascii() and set(text.encode()) <= _PLAIN and len(text) <= MAX_OWNER_LENGTH
    return is_plain and bool(text.strip(".")) and not text.startswith(TOKEN_OWNER_PREFIX)


def owner_of_claim(untrusted_value: object) -> str | None:
    """Return the owner of tokens with this claim; None if the value cannot be an owner.

    Bytes other than letters, digits and `._-` become `=XX`: an owner is part of object keys and of the ids of
    remembered answers, where `/` and `:` separate. Different values have different owners.
    """
    if not isinstance(untrusted_value, str) or not untrusted_value:
        return None
    try:
        encoded = untrusted_value.encode()
    except UnicodeEncodeError:
        return None  # JSON can hold half of a surrogate pair
    owner = TOKEN_OWNER_PREFIX + "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in encoded)
    return owner if len(owner) <= MAX_OWNER_LENGTH else None
