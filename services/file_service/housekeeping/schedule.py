"""Repeats each sweep at its own interval, or sooner when it knows what is due, in any number of processes."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.clock import Clock
from converto_infra.settings import Settings
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.uploads.unattended import ConfirmUpload
from file_service.wiring import Stores

SHORTEST_PAUSE_S = 0.02
"""Rounding may end a pause just before its time; the run after that must not follow at once."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def run_housekeeping(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    bus: EventBus,
    *,
    confirm_upload: ConfirmUpload | None = None,
) -> None:
    """Repeat all sweeps concurrently until cancelled; a slow dependency delays only the sweeps that need it."""
    sweeps = Sweeps(settings, stores, objects, bus, confirm_upload=confirm_upload)
    await repeat_all(sweeps, sweeps.all)


async def repeat_all(sweeps: Sweeps, chosen: Sequence[Sweep], *, clock: Clock | None = None) -> None:
    """Repeat these sweeps until cancelled, each at its own interval."""
    async with asyncio.TaskGroup() as repeating:
        for sweep in chosen:
            repeating.create_task(_repeat(sweeps, sweep, clock or Clock()), name=f"sweep {sweep.name}")


async def _repeat(sweeps: Sweeps, sweep: Sweep, clock: Clock) -> None:
    # A short random delay, so that slow sweeps do not all start together, nor with those of other processes.
    await clock.sleep(sweep.interval_s * random.uniform(0, 0.1))  # noqa: S311 - jitter keeps no secret
    while True:
        try:
            await sweeps.run(sweep)
        except Exception:  # process entry of a sweep: a bug in one must not stop the others
            log.exception("sweep.broken", sweep=sweep.name)
        await clock.sleep(pause_s(sweep))


def pause_s(sweep: Sweep) -> float:
    """Return the seconds until the next run: the interval, or less if the sweep knows of something sooner."""
    # Jitter, so that many processes do not sweep at the same time.
    interval_s = sweep.interval_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter keeps no secret
    known_s = sweep.next_in_s()
    return interval_s if known_s is None else min(interval_s, max(known_s, SHORTEST_PAUSE_S))
