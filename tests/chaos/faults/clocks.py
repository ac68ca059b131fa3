"""Faults of the clock: the wall clock of file services and housekeeping jumps, and back again."""

import asyncio
import functools

from tests.chaos.faults.fault import Fault, Met, waiting_requests
from tests.chaos.processes.clock import step_file
from tests.chaos.system import System

STEPPED_S = 4.0
STEPS_S = {"an hour ahead": 3600, "an hour back": -3600}


async def step(system: System, seconds: float) -> Met:
    """Set the clocks, which housekeeping and every request then read."""
    path = step_file(system.home.root)
    met = waiting_requests(system, *system.apis)
    path.write_text(str(seconds))
    try:
        await asyncio.sleep(STEPPED_S)
    finally:
        path.unlink(missing_ok=True)
    return Met(met.count + sum(service.is_running for service in (system.housekeeping,) if service), met.what)


FAULTS = tuple(
    Fault(f"api and housekeeping: clock {word}", functools.partial(step, seconds=seconds), is_parallel=True)
    for word, seconds in STEPS_S.items()
)
