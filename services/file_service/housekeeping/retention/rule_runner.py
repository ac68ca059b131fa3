"""Runs one rule: for real, or only to tell. It knows no rule in particular."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from file_service.housekeeping.retention.removal import Removal, Rule
from file_service.housekeeping.trusted_time import TrustedTime


class RuleRunner:
    """One rule with the clock it is measured by."""

    def __init__(
        self, rule: Rule, time: TrustedTime, *, prepare: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`prepare` is awaited before each real run; a dry run leaves it out."""
        self._rule = rule
        self._time = time
        self._prepare = prepare

    async def sweep(self) -> int:
        """Let everything go that may; how much went."""
        if self._prepare is not None:
            await self._prepare()
        gone = 0
        async with aclosing(self.departures()) as departures:
            async for departure in departures:
                gone += await departure.go()
        return gone

    async def departures(self) -> AsyncGenerator[Removal, None]:
        """What may go at this moment; nothing changes."""
        now_ms = await self._time.now_ms()
        async for departure in self._rule.departures(now_ms):
            yield departure
