"""Faults of the file service and of housekeeping: killed at any moment or at a crash point."""

import functools

from tests.chaos.faults.fault import Fault, crash_at
from tests.chaos.processes.crash_points import API_POINTS
from tests.chaos.system import System


async def kill(system: System) -> str:
    """Kill one of the two file services; the other one goes on."""
    api = system.chance.choice(system.apis)
    api.kill()
    return api.name


async def kill_housekeeping(system: System) -> None:
    """Kill housekeeping; the file services sweep too."""
    if system.housekeeping is not None:
        system.housekeeping.kill()


async def kill_all_sweepers(system: System) -> None:
    """Kill both file services and housekeeping: nothing sweeps, nothing answers."""
    for service in (*system.apis, system.housekeeping):
        if service is not None:
            service.kill()


FAULTS = (
    Fault("api: kill -9", kill),
    Fault("housekeeping: kill -9", kill_housekeeping),
    Fault("api and housekeeping: kill -9 of all", kill_all_sweepers),
    *(Fault(f"api: kill -9, {point}", functools.partial(crash_at, point=point)) for point in API_POINTS),
)
