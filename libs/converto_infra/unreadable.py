"""Records that this version cannot read: written by a newer one, or damaged by hand. One must not hide the others."""

import time
from collections.abc import Callable

import structlog

from converto_infra.metrics import UNREADABLE

NAMED_IN_FAULTS = 3
MOST_KEPT = 1000
KEPT_S = 600.0
"""A record that nobody has met for so long was repaired or deleted; sweeps meet those that matter every minute."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class UnreadableRecords:
    """Which records of one database this process could not read; each is logged once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._met_at_s: dict[tuple[str, str], float] = {}

    def add(self, kind: str, record_id: str, reason: str) -> None:
        """Note a record that was skipped; `reason` names the field."""
        key = (kind, record_id)
        if key not in self._met_at_s:
            UNREADABLE.labels(kind).inc()
            log.error("record.unreadable", kind=kind, id=record_id, reason=reason)
        if key in self._met_at_s or len(self._met_at_s) < MOST_KEPT:
            self._met_at_s[key] = self._clock()

    def discard(self, kind: str, record_id: str) -> None:
        """Forget a record that could be read."""
        if self._met_at_s:
            self._met_at_s.pop((kind, record_id), None)

    @property
    def faults(self) -> tuple[str, ...]:
        """One text per kind of record, for health; none when all that were met lately could be read."""
        before_s = self._clock() - KEPT_S
        self._met_at_s = {key: met_at_s for key, met_at_s in self._met_at_s.items() if met_at_s >= before_s}
        kinds = sorted({kind for kind, _ in self._met_at_s})
        return tuple(_text(kind, sorted(found for name, found in self._met_at_s if name == kind)) for kind in kinds)


def _text(kind: str, ids: list[str]) -> str:
    named = ", ".join(ids[:NAMED_IN_FAULTS]) + (" …" if len(ids) > NAMED_IN_FAULTS else "")
    return (
        f"{len(ids)} {kind} record(s) cannot be read and are skipped: {named}. They were written by a newer version of "
        "converto or are damaged; update this server, or repair them in the database (its log names the field)"
    )
