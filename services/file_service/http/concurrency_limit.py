"""Concurrency limit for requests of one kind: how many are taken, and how many there may be at this moment.

There are fewer while a server behind us is out of breath: calls that miss their deadline open its breaker, and then
nobody is served for seconds. With fewer at once all that are let in are served in time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog

from converto_infra.metrics import SERVED_NOW, SHED

QUIET_S = 1.0
"""A burst is over when nothing was refused for this long."""
LEAST = 4
"""With fewer, a database that is merely slow would look as if it were away."""
SHRINK, SHRINK_EVERY_S = 0.7, 0.5
"""All who were let in together miss their deadline together: that is one sign, not many."""

log = structlog.get_logger()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests of a kind are being served, how many may be now, and how many were refused since the start."""

    kind: str
    active: int
    limit: int
    refused: int


class ConcurrencyLimit:
    """As many places as requests of one kind may be served at once."""

    def __init__(self, kind: str, limit: int, clock: Callable[[], float]) -> None:
        """`kind` is for the log."""
        self._kind, self._limit, self._clock = kind, limit, clock
        self._active = self._refused = self._refused_in_burst = 0
        self._refused_at_s = 0.0
        self._room = float(limit)
        self._shrunk_at_s = clock() - SHRINK_EVERY_S

    @property
    def is_full(self) -> bool:
        """True when another one has to be refused."""
        return self._active >= int(self._room)

    def report(self) -> Load:
        """Counts, for metrics and tests."""
        return Load(kind=self._kind, active=self._active, limit=int(self._room), refused=self._refused)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one place."""
        self._end_burst()
        self._active += 1
        self._tell()
        try:
            yield
        finally:
            self._active -= 1
            self._tell()

    def shrink(self) -> None:
        """One that was let in waited in vain: let in fewer."""
        if self._clock() - self._shrunk_at_s >= SHRINK_EVERY_S:
            self._shrunk_at_s = self._clock()
            self._room = max(self._room * SHRINK, min(LEAST, self._limit))

    def grow(self) -> None:
        """One was served: after as many as there are places, there is one more."""
        self._room = min(self._room + 1 / self._room, self._limit)

    def refuse(self, request_id: str) -> None:
        """Count one refusal; the first of a burst is worth a line in the log."""
        self._refused += 1
        SHED.labels(self._kind).inc()
        self._refused_in_burst += 1
        self._refused_at_s = self._clock()
        if self._refused_in_burst == 1:
            log.warning("requests.shed", kind=self._kind, limit=int(self._room), request_id=request_id)

    def _tell(self) -> None:
        SERVED_NOW.labels(self._kind).set(self._active)

    def _end_burst(self) -> None:
        if self._refused_in_burst and self._clock() - self._refused_at_s >= QUIET_S:
            log.info("requests.shed_no_more", kind=self._kind, refused=self._refused_in_burst)
            self._refused_in_burst = 0
