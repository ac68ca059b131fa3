"""Faults of workers: killed at any moment or at a crash point, stopped beyond their lease, asked to stop."""

import asyncio
import functools
import signal

from tests.chaos.faults.fault import Fault, crash_at
from tests.chaos.processes.crash_points import WORKER_POINTS
from tests.chaos.system import LEASE_S, System

ZOMBIE_S = LEASE_S + 3


async def kill(system: System) -> str:
    """Kill one worker, whatever it is doing."""
    worker = system.chance.choice(system.workers)
    worker.kill()
    return worker.name


async def kill_all(system: System) -> None:
    """Kill all workers."""
    for worker in system.workers:
        worker.kill()


async def zombie(system: System) -> str:
    """Stop a worker beyond its lease; when it continues, others have taken over what it held."""
    worker = system.chance.choice(system.workers)
    worker.freeze()
    await asyncio.sleep(ZOMBIE_S)
    worker.signal(signal.SIGCONT)
    return worker.name


async def pause(system: System) -> str:
    """Stop a worker for less than its lease."""
    worker = system.chance.choice(system.workers)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_S / 4)
    worker.signal(signal.SIGCONT)
    return worker.name


async def stop(system: System) -> str:
    """Send SIGTERM: the worker finishes or hands back and ends; it is restarted."""
    worker = system.chance.choice(system.workers)
    worker.signal(signal.SIGTERM)
    return worker.name


FAULTS = (
    Fault("worker: kill -9", kill),
    Fault("worker: kill -9 of all", kill_all),
    Fault("worker: stopped for longer than the lease", zombie, is_parallel=True),
    Fault("worker: stopped for less than the lease", pause, is_parallel=True),
    Fault("worker: told to stop", stop),
    *(Fault(f"worker: kill -9, {point}", functools.partial(crash_at, point=point)) for point in WORKER_POINTS),
)
