"""Authenticates requests by API key, checked against the hashed keys in the store."""

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
"""How long a revoked key still works; without the cache each request would cost another database call."""
KEY_CACHE_SIZE = 1000


class Caller(msgspec.Struct, frozen=True):
    """The authenticated caller; `owner` scopes everything the caller can read or change."""

    owner: str
    key_id: str
    is_admin: bool = False


class KeyRing:
    """Checks API keys, and caches valid ones for `KEY_CACHE_S`."""

    def __init__(self, access: AccessStore, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts monotonic seconds."""
        self._access = access
        self._clock = clock
        self._cache: dict[str, tuple[float, ApiKey]] = {}

    async def caller(self, untrusted_key: str | None) -> Caller:
        """Return the caller of an API key; raises `Unauthorized`, or `StoreUnavailable` if it cannot be checked."""
        if not untrusted_key:
            raise Unauthorized("An API key is required; send it as `Authorization: Bearer …` or `X-API-Key: …`")
        parts = split_key_text(untrusted_key)
        if parts is None:
            raise Unauthorized("The API key is malformed; converto keys look like cvt_<id>_<secret>")
        key = await self._key(parts[0])
        if key is None or not key.matches(parts[1]):
            raise Unauthorized("The API key is unknown or has been revoked")
        return Caller(key.owner, key.id, is_admin=key.is_admin)

    async def _key(self, key_id: str) -> ApiKey | None:
        cached = self._cache.get(key_id)
        if cached and cached[0] > self._clock():
            return cached[1]
        key = await self._access.get_key(key_id) if key_id.isascii() and len(key_id) <= 64 else None
        if key is not None:
            self._remember(key)
        return key

    def _remember(self, key: ApiKey) -> None:
        if len(self._cache) >= KEY_CACHE_SIZE:
            self._cache.clear()
        self._cache[key.id] = (self._clock() + KEY_CACHE_S, key)


class Authentication(AbstractAuthenticationMiddleware):
    """Sets `request.user` to the `Caller` before the body is read."""

    async def authenticate_request(self, connection: ASGIConnection) -> AuthenticationResult:  # type: ignore[type-arg]
        """Return the caller; raises `Unauthorized` without a valid key."""
        keys: KeyRing = connection.app.state.wiring.keys
        caller = await keys.caller(_key_text(connection))
        return AuthenticationResult(user=caller, auth=None)


def administrators_only(connection: ASGIConnection, _handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Guard of routes that concern the whole installation; raises `Forbidden`."""
    caller: Caller = connection.user
    if not caller.is_admin:
        raise Forbidden(
            "This requires an administrator's API key, such as the one set as CONVERTO_BOOTSTRAP_API_KEY on the server"
        )


def _key_text(connection: ASGIConnection) -> str | None:  # type: ignore[type-arg]
    header = connection.headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.headers.get("x-api-key")
