"""Faults of the file service and of housekeeping: killed anywhere, killed at a named point."""

import functools

from tests.chaos.faults.fault import Fault, die_at
from tests.chaos.processes.death import API_POINTS
from tests.chaos.site import Site


async def kill(site: Site) -> str:
    """One of the two; the other one goes on."""
    api = site.chance.choice(site.apis)
    api.kill()
    return api.name


async def kill_housekeeping(site: Site) -> None:
    """The file services sweep too."""
    if site.housekeeping is not None:
        site.housekeeping.kill()


async def kill_all_sweepers(site: Site) -> None:
    """Both file services and housekeeping: nobody sweeps, nobody answers."""
    for service in (*site.apis, site.housekeeping):
        if service is not None:
            service.kill()


FAULTS = (
    Fault("api: kill -9", kill),
    Fault("housekeeping: kill -9", kill_housekeeping),
    Fault("api and housekeeping: kill -9 of all", kill_all_sweepers),
    *(Fault(f"api: kill -9, {point}", functools.partial(die_at, point=point)) for point in API_POINTS),
)
