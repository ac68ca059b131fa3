"""Asks whether another worker can run a conversion that this one cannot: then nobody failed, and nothing is charged.

Workers of one queue need not have the same programs: an image lacks one, or an older version is still being replaced.
"""

from conversion_worker.job.plan import ConverterSet
from converto_core.conversion.record import Conversion
from converto_core.errors import EngineElsewhere, EngineMissing
from converto_core.ports.stores import WorkerStore
from converto_infra.clock import Clock

ALIVE_MS = 60_000
"""A worker writes its record every few seconds; on an overloaded machine it comes late."""


class OtherWorkers:
    """The records of the other workers."""

    def __init__(self, workers: WorkerStore, *, own_id: str, clock: Clock) -> None:
        self._workers, self._own_id, self._clock = workers, own_id, clock

    async def check(self, converters: ConverterSet, claimed: Conversion) -> None:
        """Raise `EngineElsewhere` when only other workers have all converters of the plan, else like `for_plan`."""
        try:
            converters.for_plan(claimed)
        except EngineMissing as error:
            if await self._can_run(claimed):
                raise EngineElsewhere(detail=error.detail) from error
            raise

    async def _can_run(self, claimed: Conversion) -> bool:
        """One worker has to have them all; a program that does not answer there yet counts, because it is installed."""
        needed = {step.converter for step in claimed.plan}
        alive = await self._workers.seen_since(self._clock.now_ms() - ALIVE_MS)
        others = [worker for worker in alive if worker.id != self._own_id and not worker.is_stopping]
        return any(needed <= worker.installed_converters for worker in others)
