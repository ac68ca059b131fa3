"""The login of a server's administrator, which may be changing at the same moment."""

from collections.abc import Callable
from typing import TypeVar

from deploy.aws.rotation.credentials import Credentials
from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.versions import SecretVersions

T = TypeVar("T")


class LoginRefused(Exception):
    """The server does not know this user with this password."""


class Administrator:
    """Calls a server as its administrator, whose secret is rotated on its own schedule."""

    def __init__(self, versions: SecretVersions) -> None:
        self._versions = versions

    def run(self, call: Callable[[Credentials], T]) -> T:
        """Call with the current login, or with the pending one when the server knows that already."""
        refused: set[str] = set()
        # Current comes twice: the pending login may have become current between the first two reads.
        for read in (self._versions.current, self._versions.pending, self._versions.current):
            secret = read()
            if secret is None or secret in refused:
                continue
            try:
                return call(Credentials.from_secret(secret))
            except LoginRefused:
                refused.add(secret)
        raise RotationFailed("the server refuses its administrator; compare the administrator's secret with the server")
