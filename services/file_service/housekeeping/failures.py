"""The failures of one sweep: one bad record ends it for no other, and an outage ends it early.

A record may fail for itself, as an object that the store refuses, or because of a bug that only it meets. Where records
need the object store, several failures in a row may be an outage, so it is then asked whether it answers at all.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from converto_core.errors import ConvertoError, DependencyUnavailable, ObjectStoreUnavailable
from file_service.housekeeping.backoff import Backoff

FAILURES_IN_A_ROW = 3
"""After so many, the object store is asked whether it answers at all."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Failures:
    """Counts and logs what fails in one sweep."""

    def __init__(self, backoff: Backoff, *, check_outage: Callable[[], Awaitable[object]] | None = None) -> None:
        """`check_outage` raises if the object store is away; it is asked after several failures in a row."""
        self._backoff, self._ask = backoff, check_outage
        self._first: DependencyUnavailable | None = None
        self._count, self._in_a_row = 0, list[str]()

    @asynccontextmanager
    async def of(self, record_id: str) -> AsyncIterator[None]:
        """Run the body for one record and note how it ended.

        Raises only the error of a server that is away, which the next record would meet, too.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the loop over records: a broken one must not stop the others
            await self._add(record_id, error)
        else:
            self._in_a_row.clear()
            self._backoff.succeed(record_id)

    def keep(self, error: DependencyUnavailable) -> None:
        """Keep the error of a server that is away, the first of them, for `finish`."""
        self._first = self._first or error

    def finish(self, sweep: str) -> None:
        """Log how many records failed, and raise the first failure of a server."""
        if self._count:
            log.warning("sweep.records_failed", sweep=sweep, count=self._count)
        if self._first is not None:
            raise self._first

    async def _add(self, record_id: str, error: Exception) -> None:
        if isinstance(error, DependencyUnavailable):
            self.keep(error)
            if not isinstance(error, ObjectStoreUnavailable):
                raise error
        self._count += 1
        self._backoff.fail(record_id)
        self._log(record_id, error)
        self._in_a_row.append(record_id)
        if self._ask is not None and len(self._in_a_row) >= FAILURES_IN_A_ROW:
            await self._check_outage(self._ask)
            self._in_a_row.clear()

    async def _check_outage(self, ask: Callable[[], Awaitable[object]]) -> None:
        try:
            await ask()
        except DependencyUnavailable:
            for record_id in self._in_a_row:
                self._backoff.succeed(record_id)  # the outage was at fault, not the record
            raise

    def _log(self, record_id: str, error: Exception) -> None:
        if isinstance(error, ConvertoError):
            log.warning("sweep.record_failed", id=record_id, code=error.stable_code, detail=error.detail)
        else:
            log.error("sweep.record_broken", id=record_id, exc_info=error)
