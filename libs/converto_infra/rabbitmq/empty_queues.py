"""What the slots of one process remember of their queues, so that not each of them asks each empty one again.

It speaks to no broker. A memory may be wrong for `QUIET_S` at most; a slot without work listens to all queues.
"""

import time
from collections.abc import Callable, Sequence

# When a lower lane has a backlog, a new wake-up in a higher one is noticed this much later: nothing beside the running
# conversion that it waits for anyway, and long enough to make asking eighteen queues cheap.
QUIET_S = 0.25
# In a burst the next wake-up is a moment away: asking one queue again costs less than listening to all of them.
BURST_S = 0.1
BURST_LOOK_S = 0.01  # so often, and by one slot only, however many of them wait


class EmptyQueues:
    """Which queues were seen empty lately, and which one gave the last wake-up."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is known yet."""
        self._monotonic = monotonic
        self._empty_since: dict[str, float] = {}
        self._gave_at: dict[str, float] = {}

    def saw_empty(self, name: str) -> None:
        """A queue had nothing."""
        self._empty_since[name] = self._monotonic()

    def saw_message(self, name: str) -> None:
        """A queue gave a message, so it is worth asking at once."""
        self._empty_since.pop(name, None)
        self._gave_at[name] = self._monotonic()

    def worth_asking(self, names: Sequence[str]) -> list[str]:
        """Those of the queues that were not seen empty a moment ago, in the same order."""
        return self._not_empty_for(names, QUIET_S)

    def in_burst(self, names: Sequence[str]) -> list[str]:
        """Those of the queues that gave something within the last moment, in the same order."""
        since = self._monotonic() - BURST_S
        return [name for name in names if self._gave_at.get(name, since) > since]

    def next_in_burst(self, names: Sequence[str]) -> list[str]:
        """Those of the queues in burst that no slot has asked since the last look."""
        return self._not_empty_for(self.in_burst(names), BURST_LOOK_S)

    def _not_empty_for(self, names: Sequence[str], seconds: float) -> list[str]:
        before = self._monotonic() - seconds
        return [name for name in names if self._empty_since.get(name, before) <= before]
