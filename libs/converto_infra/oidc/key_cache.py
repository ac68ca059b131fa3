"""Keeps the issuer's keys: refreshed in the background, kept while the issuer is away, fetched again for a new key.

Only `run` fetches, so there is one request at a time and no more than one per `REFETCH_AFTER_S`, whatever clients send.
"""

import asyncio

import structlog

from converto_core.errors import InvalidToken, IssuerUnavailable
from converto_core.ports.issuer import Issuer
from converto_infra.clock import Clock, jittered_s
from converto_infra.metrics import CALLS, ISSUER_KEYS_AT
from converto_infra.oidc.signing_keys import SigningKey, SigningKeys, parse_key_set
from converto_infra.retry import backoff_s

REFRESH_S = 300.0
"""How long a key that the issuer has withdrawn may still be accepted while the issuer answers."""
KEEP_S = 86_400.0
"""How long keys are used while the issuer is away; then no token is accepted, as its key may have been withdrawn."""
REFETCH_AFTER_S = 10.0
"""Unknown key ids lead to a fetch only this long after the last one."""
UNKNOWN_KEY = "token_key_unknown"
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 10.0
WAIT_S = 0.25
"""How long a request waits for a fetch. A 503 that takes longer counts as overload and lowers the concurrency limit."""
MAX_WAITING = 8
"""Requests that wait hold places of the concurrency limit, so made-up key ids must not take them all."""

log = structlog.get_logger()


class KeyCache:
    """The keys of one issuer."""

    def __init__(self, issuer: Issuer, *, clock: Clock | None = None) -> None:
        """Nothing is fetched before `run`."""
        self._issuer, self._clock = issuer, clock or Clock()
        self._keys: SigningKeys | None = None
        self._fetched_at_s = 0.0
        self._failures = 0
        self._resting_until_s = 0.0
        self._wanted, self._attempted = asyncio.Event(), asyncio.Event()
        self._waiting = 0

    async def run(self) -> None:
        """Fetch the keys again and again, until cancelled."""
        while True:
            await self._fetch()
            await self._rest()

    async def key(self, kid: str | None, algorithm: str) -> SigningKey:
        """Return the key of a token; raises `InvalidToken` for an unknown one, `IssuerUnavailable` without keys."""
        if (known := self._find(kid, algorithm)) is not None:
            return known
        is_resting = self._clock.monotonic() < self._resting_until_s
        is_fresh = is_resting or await self._next_attempt()
        if (known := self._find(kid, algorithm)) is not None:
            return known
        if self._failures or not is_fresh:
            raise self._unavailable()
        raise InvalidToken("The access token is signed with a key that its issuer does not publish", code=UNKNOWN_KEY)

    def _find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        if self._keys is None or self._clock.monotonic() - self._fetched_at_s >= KEEP_S:
            return None
        return self._keys.find(kid, algorithm)

    async def _next_attempt(self) -> bool:
        """Ask for a fetch and wait for its end; False when that takes too long or too many requests wait."""
        if self._waiting >= MAX_WAITING:
            return False
        self._wanted.set()
        self._waiting += 1
        try:
            return await self._clock.wait(self._attempted, WAIT_S)
        finally:
            self._waiting -= 1

    def _unavailable(self) -> IssuerUnavailable:
        error = IssuerUnavailable(detail="there is no usable key of the issuer")
        error.retry_after_s = max(1.0, self._resting_until_s - self._clock.monotonic())
        return error

    async def _fetch(self) -> None:
        try:
            keys = parse_key_set(await self._issuer.key_set())
        except IssuerUnavailable as error:
            self._fail(error)
        else:
            self._accept(keys)
        self._wanted.clear()
        self._resting_until_s = self._clock.monotonic() + self._rest_s()
        attempted, self._attempted = self._attempted, asyncio.Event()
        attempted.set()

    def _accept(self, keys: SigningKeys) -> None:
        CALLS.labels("issuer", "answered").inc()
        ISSUER_KEYS_AT.set(self._clock.now_ms() / 1000)
        if self._failures or self._keys is None or self._keys.kids != keys.kids:
            log.info("issuer.keys_fetched", kids=keys.kids)
        self._keys, self._fetched_at_s, self._failures = keys, self._clock.monotonic(), 0

    def _fail(self, error: IssuerUnavailable) -> None:
        CALLS.labels("issuer", "failed").inc()
        self._failures += 1
        write = log.warning if self._failures == 1 else log.debug
        write("issuer.unavailable", detail=error.detail, has_keys=self._keys is not None)

    def _rest_s(self) -> float:
        if not self._failures:
            return REFETCH_AFTER_S
        return RETRY_FIRST_S + backoff_s(self._failures, first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S)

    async def _rest(self) -> None:
        """Pause; after a success, go on earlier than planned if a request meets an unknown key."""
        await self._clock.sleep(self._resting_until_s - self._clock.monotonic())
        if not self._failures:
            await self._clock.wait(self._wanted, jittered_s(REFRESH_S) - REFETCH_AFTER_S)
