"""Faults of workers: killed at any moment, stopped beyond their lease, asked to stop. See also `guaranteed.py`."""

import asyncio
import signal

from tests.chaos.faults.fault import Fault, Met, in_flight
from tests.chaos.system import LEASE_S, System

ZOMBIE_S = LEASE_S + 3


async def kill(system: System) -> Met:
    """Kill one worker, whatever it is doing."""
    worker = system.chance.choice(system.workers)
    met = in_flight(system, worker)
    worker.kill()
    return met


async def kill_all(system: System) -> Met:
    """Kill all workers."""
    met = in_flight(system, *system.workers)
    for worker in system.workers:
        worker.kill()
    return met


async def zombie(system: System) -> Met:
    """Stop a worker beyond its lease; when it continues, others have taken over what it held."""
    worker = system.chance.choice(system.workers)
    worker.freeze()
    met = in_flight(system, worker)
    await asyncio.sleep(ZOMBIE_S)
    worker.signal(signal.SIGCONT)
    return met


async def pause(system: System) -> Met:
    """Stop a worker for less than its lease."""
    worker = system.chance.choice(system.workers)
    worker.signal(signal.SIGSTOP)
    met = in_flight(system, worker)
    await asyncio.sleep(LEASE_S / 4)
    worker.signal(signal.SIGCONT)
    return met


async def stop(system: System) -> Met:
    """Send SIGTERM: the worker finishes or hands back and ends; it is restarted."""
    worker = system.chance.choice(system.workers)
    met = in_flight(system, worker)
    worker.signal(signal.SIGTERM)
    return met


FAULTS = (
    Fault("worker: kill -9", kill),
    Fault("worker: kill -9 of all", kill_all),
    Fault("worker: stopped for longer than the lease", zombie, is_parallel=True),
    Fault("worker: stopped for less than the lease", pause, is_parallel=True),
    Fault("worker: told to stop", stop),
)
