"""What the slots of one process share about their queues, so that they do not all ask the same empty ones.

This memory can be wrong for at most `QUIET_S`; a slot without work consumes from all queues.
"""

import time
from collections.abc import Callable, Sequence

# While a lower lane has a backlog, a new message in a higher one is noticed this much later: little beside the running
# conversion that it waits for anyway, and enough to make asking eighteen queues cheap.
QUIET_S = 0.25
# During a burst the next message is moments away: asking one queue again costs less than consuming from all of them.
BURST_S = 0.1
BURST_LOOK_S = 0.01  # the interval of asking during a burst, by one slot at a time, however many wait


class EmptyQueues:
    """Which queues were empty a moment ago, and which delivered a message."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._empty_since: dict[str, float] = {}
        self._delivered_at: dict[str, float] = {}

    def saw_empty(self, name: str) -> None:
        """Record that a queue was empty."""
        self._empty_since[name] = self._monotonic()

    def saw_message(self, name: str) -> None:
        """Record that a queue delivered a message, so it is worth asking at once."""
        self._empty_since.pop(name, None)
        self._delivered_at[name] = self._monotonic()

    def worth_asking(self, names: Sequence[str]) -> list[str]:
        """The queues that were not empty within the last `QUIET_S`, in the same order."""
        return self._not_empty_for(names, QUIET_S)

    def in_burst(self, names: Sequence[str]) -> list[str]:
        """The queues that delivered within the last `BURST_S`, in the same order."""
        since = self._monotonic() - BURST_S
        return [name for name in names if self._delivered_at.get(name, since) > since]

    def next_in_burst(self, names: Sequence[str]) -> list[str]:
        """The queues in burst that no slot has asked within the last `BURST_LOOK_S`."""
        return self._not_empty_for(self.in_burst(names), BURST_LOOK_S)

    def _not_empty_for(self, names: Sequence[str], seconds: float) -> list[str]:
        before = self._monotonic() - seconds
        return [name for name in names if self._empty_since.get(name, before) <= before]
