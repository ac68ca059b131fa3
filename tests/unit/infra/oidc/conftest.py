"""A local issuer, and a key cache whose time the test controls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from converto_core.errors import IssuerUnavailable
from converto_infra.oidc.key_cache import KeyCache
from tests.issuer import Key, LocalIssuer, running_issuer
from tests.unit.fake_clock import FakeClock, until


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    """An issuer that answers by HTTP."""
    async with running_issuer() as one:
        yield one


class ScriptedIssuer:
    """`Issuer` in this process: publishes `keys`, or is away."""

    def __init__(self) -> None:
        self.keys = [Key("k1")]
        self.is_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fetches = 0
        self.most_at_once = self._at_once = 0

    async def key_set(self) -> bytes:
        """Count and answer."""
        self.fetches += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self.may_answer.wait()
        finally:
            self._at_once -= 1
        if self.is_away:
            raise IssuerUnavailable(detail="away")
        return LocalIssuer.key_set(self)  # type: ignore[arg-type]


class Cache:
    """A key cache with its issuer and clock."""

    def __init__(self) -> None:
        self.issuer, self.clock = ScriptedIssuer(), FakeClock()
        self.keys = KeyCache(self.issuer, clock=self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cache"]:
        """Fetch in the background."""
        running = asyncio.create_task(self.keys.run())
        try:
            await until(lambda: self.issuer.fetches > 0)
            yield self
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def is_known(self, kid: str) -> bool:
        """True when the cache has the key."""
        try:
            await self.keys.key(kid, "RS256")
        except Exception:
            return False
        return True

    async def rested(self) -> None:
        """Wait until the cache pauses between two fetches."""
        await until(lambda: self.clock.is_waited_for)


@pytest.fixture
def cache() -> Cache:
    """A key cache that does not run yet."""
    return Cache()
