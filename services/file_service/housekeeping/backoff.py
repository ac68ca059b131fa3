"""Leaves records alone that have failed, longer with each failure, so that none is retried in every sweep."""

from collections.abc import Callable

import msgspec

LONGEST_MS = 3_600_000
FORGET_EVERY = 1000
"""Old failures are looked for when this many have been added."""


class _Failed(msgspec.Struct, frozen=True):
    failures: int
    due_ms: int
    pause_ms: int


class Backoff:
    """Which records have failed in this process, and when each may be tried again; a restart forgets it."""

    def __init__(self, now_ms: Callable[[], int], *, first_s: float) -> None:
        """The first pause is `first_s` long; it doubles with each failure in a row, up to an hour."""
        self._now_ms = now_ms
        self._first_ms = int(first_s * 1000)
        self._failed: dict[str, _Failed] = {}

    def is_due(self, record_id: str) -> bool:
        """Whether the record may be tried now: also if its pause seems to be longer than it is, by a clock set back."""
        failed = self._failed.get(record_id)
        return failed is None or not 0 < failed.due_ms - self._now_ms() <= failed.pause_ms

    @property
    def waiting(self) -> int:
        """How many records are left alone now."""
        now_ms = self._now_ms()
        return sum(failed.due_ms > now_ms for failed in self._failed.values())

    def due_ms(self, record_id: str) -> int | None:
        """When the record may be tried again (ms); None if it has not failed."""
        failed = self._failed.get(record_id)
        return None if failed is None else failed.due_ms

    def fail(self, record_id: str) -> None:
        """Note a failure."""
        if len(self._failed) % FORGET_EVERY == 0:
            self._forget_old()
        known = self._failed.get(record_id)
        failures = 1 if known is None else known.failures + 1
        pause_ms = min(self._first_ms * 2 ** min(failures - 1, 20), LONGEST_MS)
        self._failed[record_id] = _Failed(failures, self._now_ms() + pause_ms, pause_ms)

    def succeed(self, record_id: str) -> None:
        """Forget the failures of a record."""
        self._failed.pop(record_id, None)

    def _forget_old(self) -> None:
        """Keep memory bounded: a record that was not tried again for two hours has gone, or belongs to others now."""
        before_ms = self._now_ms() - 2 * LONGEST_MS
        gone = [record_id for record_id, failed in self._failed.items() if failed.due_ms < before_ms]
        for record_id in gone:
            del self._failed[record_id]
