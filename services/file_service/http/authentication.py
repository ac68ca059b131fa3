"""Who is asking: API keys from the request's headers, checked against the hashed keys in the store."""

import time
from collections.abc import Callable

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from converto_core.access import ApiKey, split_key_text
from converto_core.errors import Forbidden, Unauthorized
from converto_core.ports.stores import AccessStore

KEY_CACHE_S = 5.0
"""A revoked key works at most this long; without the cache each request would cost one more database call."""
KEY_CACHE_SIZE = 1000


class Caller(msgspec.Struct, frozen=True):
    """Who is asking; `owner` limits everything that can be seen or touched."""

    owner: str
    key_id: str
    is_admin: bool = False


class KeyRing:
    """Checks API keys and remembers good ones for some seconds."""

    def __init__(self, access: AccessStore, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds and never goes back."""
        self._access = access
        self._clock = clock
        self._seen: dict[str, tuple[float, ApiKey]] = {}

    async def caller(self, untrusted_key: str | None) -> Caller:
        """Whose key this is; raises `Unauthorized`, or `StoreUnavailable` when it cannot be told."""
        if not untrusted_key:
            raise Unauthorized("Send your API key as `Authorization: Bearer …` or `X-API-Key: …`")
        parts = split_key_text(untrusted_key)
        if parts is None:
            raise Unauthorized("This does not look like an API key of converto (cvt_…)")
        key = await self._key(parts[0])
        if key is None or not key.matches(parts[1]):
            raise Unauthorized("This API key is not known or was revoked")
        return Caller(key.owner, key.id, is_admin=key.is_admin)

    async def _key(self, key_id: str) -> ApiKey | None:
        known = self._seen.get(key_id)
        if known and known[0] > self._clock():
            return known[1]
        key = await self._access.get_key(key_id) if key_id.isascii() and len(key_id) <= 64 else None
        if key is not None:
            self._remember(key)
        return key

    def _remember(self, key: ApiKey) -> None:
        if len(self._seen) >= KEY_CACHE_SIZE:
            self._seen.clear()
        self._seen[key.id] = (self._clock() + KEY_CACHE_S, key)


class Authentication(AbstractAuthenticationMiddleware):
    """Puts the `Caller` into the request before its body is read."""

    async def authenticate_request(self, connection: ASGIConnection) -> AuthenticationResult:  # type: ignore[type-arg]
        """Raises `Unauthorized` when there is no valid key."""
        keys: KeyRing = connection.app.state.wiring.keys
        caller = await keys.caller(_key_text(connection))
        return AuthenticationResult(user=caller, auth=None)


def administrators_only(connection: ASGIConnection, _handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """A guard for what concerns the whole installation; raises `Forbidden`."""
    caller: Caller = connection.user
    if not caller.is_admin:
        raise Forbidden(
            "This needs an administrator's API key; the one that the server knows as CONVERTO_BOOTSTRAP_API_KEY is one"
        )


def _key_text(connection: ASGIConnection) -> str | None:  # type: ignore[type-arg]
    header = connection.headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.headers.get("x-api-key")
