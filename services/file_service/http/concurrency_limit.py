"""An adaptive limit on how many requests of one kind are served at the same time.

The limit shrinks while a dependency is too slow: calls that miss their deadline would open its circuit breaker, and
then nobody is served for seconds. With fewer requests at once, all admitted requests finish in time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog

from converto_infra.metrics import SERVED_NOW, SHED

QUIET_S = 1.0
"""A burst of refusals is over when nothing was refused for this long."""
MIN_LIMIT = 4
"""With an even lower limit, a database that is merely slow would look as if it were down."""
SHRINK, SHRINK_EVERY_S = 0.7, 0.5
"""Requests admitted together miss their deadline together, so they count as one sign of overload."""

log = structlog.get_logger()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one kind: served now, the current limit, and refused since the start."""

    kind: str
    active: int
    limit: int
    refused: int


class ConcurrencyLimit:
    """A limit that starts at its configured maximum and adapts below it."""

    def __init__(self, kind: str, limit: int, clock: Callable[[], float]) -> None:
        """`kind` labels logs and metrics; `clock` counts monotonic seconds."""
        self._kind, self._max_limit, self._clock = kind, limit, clock
        self._active = self._refused = self._refused_in_burst = 0
        self._refused_at_s = 0.0
        self._limit = float(limit)
        self._shrunk_at_s = clock() - SHRINK_EVERY_S

    @property
    def is_full(self) -> bool:
        """True when the next request must be refused."""
        return self._active >= int(self._limit)

    def report(self) -> Load:
        """Return the current counts."""
        return Load(kind=self._kind, active=self._active, limit=int(self._limit), refused=self._refused)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count one request as being served."""
        self._end_burst()
        self._active += 1
        self._export()
        try:
            yield
        finally:
            self._active -= 1
            self._export()

    def shrink(self) -> None:
        """Lower the limit after a request missed its deadline, at most once per `SHRINK_EVERY_S`."""
        if self._clock() - self._shrunk_at_s >= SHRINK_EVERY_S:
            self._shrunk_at_s = self._clock()
            self._limit = max(self._limit * SHRINK, min(MIN_LIMIT, self._max_limit))

    def grow(self) -> None:
        """Raise the limit after a served request; a full round of requests raises it by one."""
        self._limit = min(self._limit + 1 / self._limit, self._max_limit)

    def refuse(self, request_id: str) -> None:
        """Count a refusal and log the first of a burst."""
        self._refused += 1
        SHED.labels(self._kind).inc()
        self._refused_in_burst += 1
        self._refused_at_s = self._clock()
        if self._refused_in_burst == 1:
            log.warning("requests.shed", kind=self._kind, limit=int(self._limit), request_id=request_id)

    def _export(self) -> None:
        SERVED_NOW.labels(self._kind).set(self._active)

    def _end_burst(self) -> None:
        if self._refused_in_burst and self._clock() - self._refused_at_s >= QUIET_S:
            log.info("requests.shed_no_more", kind=self._kind, refused=self._refused_in_burst)
            self._refused_in_burst = 0
