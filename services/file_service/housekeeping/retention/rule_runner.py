"""Runs one retention rule, for real or as a dry run."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from file_service.housekeeping.retention.removal import Removal, Rule
from file_service.housekeeping.trusted_time import TrustedTime


class RuleRunner:
    """A rule with the clock that measures ages."""

    def __init__(
        self, rule: Rule, time: TrustedTime, *, prepare: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`prepare` is awaited before each real run, but not before a dry run."""
        self._rule = rule
        self._time = time
        self._prepare = prepare

    async def sweep(self) -> int:
        """Remove everything that qualifies and return how much was removed."""
        if self._prepare is not None:
            await self._prepare()
        count = 0
        async with aclosing(self.removals()) as removals:
            async for removal in removals:
                count += await removal.run()
        return count

    async def removals(self) -> AsyncGenerator[Removal, None]:
        """Yield what would be removed now, without changing anything."""
        now_ms = await self._time.now_ms()
        async for removal in self._rule.removals(now_ms):
            yield removal
