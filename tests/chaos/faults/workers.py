"""Faults of workers: killed anywhere, killed at a named point, stopped for longer than a lease, told to stop."""

import asyncio
import functools
import signal

from tests.chaos.faults.fault import Fault, die_at
from tests.chaos.processes.death import WORKER_POINTS
from tests.chaos.site import LEASE_S, Site

ZOMBIE_S = LEASE_S + 3


async def kill(site: Site) -> str:
    """Whatever it does at this moment."""
    worker = site.chance.choice(site.workers)
    worker.kill()
    return worker.name


async def kill_all(site: Site) -> None:
    """Nobody is left for a while."""
    for worker in site.workers:
        worker.kill()


async def zombie(site: Site) -> str:
    """Stopped for longer than its lease; afterwards it believes that it still holds what others have taken over."""
    worker = site.chance.choice(site.workers)
    worker.freeze()
    await asyncio.sleep(ZOMBIE_S)
    worker.signal(signal.SIGCONT)
    return worker.name


async def pause(site: Site) -> str:
    """Stopped for less than its lease."""
    worker = site.chance.choice(site.workers)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_S / 4)
    worker.signal(signal.SIGCONT)
    return worker.name


async def stop(site: Site) -> str:
    """SIGTERM: finishes or gives back, and ends; the conductor starts another one."""
    worker = site.chance.choice(site.workers)
    worker.signal(signal.SIGTERM)
    return worker.name


FAULTS = (
    Fault("worker: kill -9", kill),
    Fault("worker: kill -9 of all", kill_all),
    Fault("worker: stopped for longer than the lease", zombie, is_beside=True),
    Fault("worker: stopped for less than the lease", pause, is_beside=True),
    Fault("worker: told to stop", stop),
    *(Fault(f"worker: kill -9, {point}", functools.partial(die_at, point=point)) for point in WORKER_POINTS),
)
