"""Authenticates requests: by API key, checked against the hashed keys in the store, or by access token."""

import time
from collections.abc import Callable

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from converto_core.access import KEY_PREFIX, ApiKey, split_key_text
from converto_core.caller import Caller, Scope
from converto_core.errors import Unauthorized
from converto_core.ports.stores import AccessStore

KEY_CACHE_S = 5.0
"""How long a revoked key still works; without the cache each request would cost another database call."""
KEY_CACHE_SIZE = 1000

_KEY_SCOPES = frozenset({Scope.READ, Scope.WRITE})


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
            error = Unauthorized("An API key is required; send it as `Authorization: Bearer …` or `X-API-Key: …`")
            error.is_missing = True
            raise error
        parts = split_key_text(untrusted_key)
        if parts is None:
            raise Unauthorized("The API key is malformed; converto keys look like cvt_<id>_<secret>")
        key = await self._key(parts[0])
        if key is None or not key.matches(parts[1]):
            raise Unauthorized("The API key is unknown or has been revoked")
        scopes = _KEY_SCOPES | {Scope.ADMIN} if key.is_admin else _KEY_SCOPES
        return Caller(owner=key.owner, scopes=scopes, key_id=key.id)

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
        """Return the caller; raises `Unauthorized` without a valid key or token."""
        wiring = connection.app.state.wiring
        bearer = _bearer_text(connection)
        if bearer is not None and wiring.tokens is not None and not bearer.startswith(KEY_PREFIX):
            caller = await wiring.tokens.caller(bearer)
        else:
            caller = await wiring.keys.caller(bearer or connection.headers.get("x-api-key"))
        return AuthenticationResult(user=caller, auth=None)


def _bearer_text(connection: ASGIConnection) -> str | None:  # type: ignore[type-arg]
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None
