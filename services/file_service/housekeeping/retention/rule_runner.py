"""Runs one retention rule, for real or as a dry run."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from converto_core.errors import DependencyUnavailable
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures
from file_service.housekeeping.retention.removal import Removal, Rule
from file_service.housekeeping.trusted_time import TrustedTime

FIRST_PAUSE_S = 300.0
"""Retention times are mostly days, so a removal that failed can wait for some minutes."""


class RuleRunner:
    """A rule with the clock that measures ages. A removal that fails ends the sweep for no other."""

    def __init__(
        self, rule: Rule, time: TrustedTime, *, prepare: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`prepare` is awaited before each real run, but not before a dry run."""
        self._rule = rule
        self._time = time
        self._prepare = prepare
        self._backoff = Backoff(time.own_ms, first_s=FIRST_PAUSE_S)

    async def sweep(self) -> int:
        """Remove everything that qualifies and return how much was removed.

        Raises the first failure of a server, after everything else has been done.
        """
        if self._prepare is not None:
            await self._prepare()
        count, failures = 0, Failures(self._backoff, check_outage=self._time.now_ms)
        async with aclosing(self._all()) as removals:
            async for removal in removals:
                count += await self._run(removal, failures)
        failures.finish(type(self._rule).__name__)
        return count

    async def removals(self) -> AsyncGenerator[Removal, None]:
        """Yield what would be removed now, without changing anything; raises the first failure after the others."""
        first: DependencyUnavailable | None = None
        async for removal in self._all():
            if removal.failure is None:
                yield removal
            first = first or removal.failure
        if first is not None:
            raise first

    async def _run(self, removal: Removal, failures: Failures) -> int:
        if not self._backoff.is_due(removal.id):
            return 0
        count = 0
        async with failures.of(removal.id):
            if removal.failure is not None:
                raise removal.failure
            count += await removal.run()
        return count

    async def _all(self) -> AsyncGenerator[Removal, None]:
        now_ms = await self._time.now_ms()
        async for removal in self._rule.removals(now_ms):
            yield removal
