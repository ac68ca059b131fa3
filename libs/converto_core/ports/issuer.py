"""Port of the OpenID Connect issuer of access tokens."""

from typing import Protocol


class Issuer(Protocol):
    """Publishes the keys that its access tokens are signed with."""

    async def key_set(self) -> bytes:
        """Return the current JSON Web Key Set as JSON text; raises `IssuerUnavailable`."""
