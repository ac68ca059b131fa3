"""Faults of the file service and of housekeeping: killed at any moment or at a crash point, told to stop."""

import functools
import signal

from tests.chaos.faults.fault import Fault, Met, crash_at, waiting_requests
from tests.chaos.processes.crash_points import API_POINTS
from tests.chaos.report.figures import KILL_OF_ALL_REAPERS
from tests.chaos.system import System


async def kill(system: System) -> Met:
    """Kill one of the two file services; the other one goes on."""
    api = system.chance.choice(system.apis)
    met = waiting_requests(system, api)
    api.kill()
    return met


async def stop(system: System) -> Met:
    """Send SIGTERM to one file service: it ends its streams and its requests, then ends; it is restarted."""
    api = max(system.apis, key=lambda each: waiting_requests(system, each).count)
    met = waiting_requests(system, api)
    api.signal(signal.SIGTERM)
    return met


async def kill_housekeeping(system: System) -> Met:
    """Kill housekeeping, which always sweeps; the file services sweep too."""
    housekeeping = system.housekeeping
    if housekeeping is None or not housekeeping.is_running:
        return Met(0, "sweeps")
    housekeeping.kill()
    return Met(1, "sweep")


async def kill_all_sweepers(system: System) -> Met:
    """Kill both file services and housekeeping: nothing sweeps, nothing answers."""
    met = waiting_requests(system, *system.apis)
    for service in (*system.apis, system.housekeeping):
        if service is not None:
            service.kill()
    return met


FAULTS = (
    Fault("api: kill -9", kill),
    Fault("api: told to stop, with open streams", stop),
    Fault("housekeeping: kill -9", kill_housekeeping),
    Fault(KILL_OF_ALL_REAPERS, kill_all_sweepers),
    *(Fault(f"api: kill -9, {point}", functools.partial(crash_at, point=point)) for point in API_POINTS),
)
