"""Seals secrets for one record with AES-256-GCM, and fingerprints them with HMAC-SHA-256.

A seal is bound to the id of its record: moved to another record, it does not open. Its length hides the length of the
secret. Of several keys the first seals and all open, so that keys can be replaced while seals exist.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from converto_core.errors import PasswordsNotAccepted, PasswordUnreadable
from converto_core.secret import Secret

_VERSION = "1"
_NONCE_BYTES = 12
_BLOCK_BYTES = 64  # a secret is filled up to a multiple of this
_FILLING = b"\0"  # passwords that contain it are refused


class Seals:
    """Makes and opens seals; without keys it refuses to."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` have 32 random bytes each."""
        self._ciphers = [AESGCM(_derived(key, "seal")) for key in keys]
        self._fingerprint_key = _derived(keys[0], "fingerprint") if keys else None

    def check(self) -> None:
        """Raise `PasswordsNotAccepted` without keys."""
        if not self._ciphers:
            raise PasswordsNotAccepted()

    def seal(self, secret: Secret, *, record_id: str) -> str:
        """Return the secret as a text that only the same record's id and the same key open."""
        self.check()
        plain = secret.reveal().encode()
        filled = plain + _FILLING * (-len(plain) % _BLOCK_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[0].encrypt(nonce, filled, record_id.encode())
        return f"{_VERSION}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, *, record_id: str) -> Secret:
        """Return the secret; raises `PasswordUnreadable` for a seal of another key or of another record."""
        version, _, body = sealed.partition(".")
        try:
            content = base64.urlsafe_b64decode(body) if version == _VERSION else b""
        except ValueError as error:
            raise PasswordUnreadable(detail="the seal is damaged") from error
        for cipher in self._ciphers:
            try:
                filled = cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], record_id.encode())
            except (InvalidTag, ValueError):
                continue
            return Secret(filled.rstrip(_FILLING).decode())
        raise PasswordUnreadable(detail=f"none of {len(self._ciphers)} keys opens the seal")

    def fingerprint(self, secret: Secret, *, owner: str) -> str:
        """Return a hash (hex) that is equal for equal secrets of one owner, and of no use without the key."""
        if self._fingerprint_key is None:
            raise PasswordsNotAccepted()
        return hmac.digest(self._fingerprint_key, f"{owner}\n{secret.reveal()}".encode(), "sha256").hex()


def _derived(key: bytes, purpose: str) -> bytes:
    """Return a key for one purpose, so that no key serves two algorithms."""
    return hmac.digest(key, f"converto {purpose}".encode(), hashlib.sha256)
