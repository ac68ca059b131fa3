"""The keys that seal passwords of sources. No server has to be told: the services read them when they start.

A rotation restarts the services one after another, so for some minutes some seal with the first key of the new value
and others with that of the old one. Each opens the seals of the other: a new key is the second for one rotation before
it becomes the first, and stays as the third for one more.
"""

import re
import secrets

from deploy.aws.rotation.errors import RotationFailed

KEY_BYTES = 32
_KEY = re.compile("[0-9a-f]{64}")


class SealingKeys:
    """Keeps three keys: the one that seals, the one that will seal after the next rotation, and the one before."""

    def next_value(self, current: str) -> str:
        """The second key moves to the front, followed by a new one and the old first; a placeholder is left out."""
        known = [key for key in current.split(",") if _KEY.fullmatch(key)]
        if len(known) < 2:
            return ",".join([*(known or [_new_key()]), _new_key()])
        return ",".join([known[1], _new_key(), known[0]])

    def set(self, current: str, pending: str) -> None:
        """Nothing to do."""

    def test(self, pending: str) -> None:
        """Check the form; no service would start with a key that is malformed."""
        if not all(_KEY.fullmatch(key) for key in pending.split(",")):
            raise RotationFailed("the new value is not a list of keys of 64 hexadecimal digits each")


def _new_key() -> str:
    return secrets.token_hex(KEY_BYTES)
