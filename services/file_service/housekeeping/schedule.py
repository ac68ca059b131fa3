"""Runs the sweeps that nobody asks for: each repeats at its own interval, in any number of processes."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.settings import Settings
from file_service.housekeeping.retention.abandoned_uploads import ConfirmUpload
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.wiring import Stores

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def run_housekeeping(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    bus: EventBus,
    *,
    confirm_upload: ConfirmUpload | None = None,
) -> None:
    """Repeat all sweeps until cancelled, each in its own rhythm, so that a slow server delays only what needs it."""
    sweeps = Sweeps(settings, stores, objects, bus, confirm_upload=confirm_upload)
    await repeat_all(sweeps, sweeps.all)


async def repeat_all(sweeps: Sweeps, chosen: Sequence[Sweep]) -> None:
    """Repeat these sweeps until cancelled."""
    async with asyncio.TaskGroup() as repeating:
        for sweep in chosen:
            repeating.create_task(_repeat(sweeps, sweep), name=f"sweep {sweep.name}")


async def _repeat(sweeps: Sweeps, sweep: Sweep) -> None:
    # The quick ones begin at once; the slow ones need not meet them, and those of other processes, at the start.
    await asyncio.sleep(sweep.interval_s * random.uniform(0, 0.1))  # noqa: S311 - jitter keeps no secret
    while True:
        try:
            await sweeps.survive(sweep)
        except Exception:  # process entry of a sweep: a bug in one of them must not end the others
            log.exception("sweep.broken", sweep=sweep.name)
        # Jitter, so that many processes do not sweep in step.
        await asyncio.sleep(sweep.interval_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter keeps no secret
