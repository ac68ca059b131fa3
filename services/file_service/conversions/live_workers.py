"""Which workers run now.

A worker dates its record by its own clock. One whose clock is ahead would count as running for hours after its end, so
a record from the future counts only as long as it is seen to change.
"""

from collections.abc import Callable, Iterable

import msgspec

from converto_core.catalogue import Worker

ALIVE_MS = 30_000
"""A worker writes its record every few seconds; one that is silent for longer counts as stopped."""


class _Sighting(msgspec.Struct, frozen=True):
    seen_at: int
    first_seen_s: float


class LiveWorkers:
    """Judges records of workers; remembers when those from the future last changed, by this process's own clock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sightings: dict[str, _Sighting] = {}

    def of(self, workers: Iterable[Worker], *, now_ms: int) -> list[Worker]:
        """Return those of all known workers that run now."""
        known = list(workers)
        future = {worker.id: self._sighting(worker) for worker in known if worker.seen_at > now_ms + ALIVE_MS}
        self._sightings = future
        silent_since_s = self._monotonic() - ALIVE_MS / 1000
        return [
            worker
            for worker in known
            if worker.seen_at >= now_ms - ALIVE_MS
            and (worker.id not in future or future[worker.id].first_seen_s >= silent_since_s)
        ]

    def _sighting(self, worker: Worker) -> _Sighting:
        known = self._sightings.get(worker.id)
        if known is not None and known.seen_at == worker.seen_at:
            return known
        return _Sighting(worker.seen_at, self._monotonic())
