"""Faults of the servers themselves: killed or stopped."""

import asyncio
import functools
import signal

from tests.chaos.faults.fault import Fault, Met, Passing
from tests.chaos.system import System
from tests.proxy import Way

DEPENDENCY = {"rabbitmq": "broker", "mongo": "database", "s3": "object_store"}
STOPPED_S = 4.0


async def kill(system: System, name: str) -> Met:
    """Kill the server with SIGKILL; its supervisor restarts it."""
    passing = Passing(system, DEPENDENCY[name])
    with system.outage(DEPENDENCY[name], "kill -9"):
        await system.kill_server(name)
    return passing.cut


async def stop(system: System, name: str) -> Met:
    """Stop the server with SIGSTOP: the kernel still accepts connections, nothing answers."""
    with system.outage(DEPENDENCY[name], "stopped"):
        await system.signal_server(name, signal.SIGSTOP)
        passing = Passing(system, DEPENDENCY[name])
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            await system.signal_server(name, signal.SIGCONT)
    return passing.since(Way.TO_SERVER)


FAULTS = (
    *(Fault(f"{DEPENDENCY[name]}: kill -9", functools.partial(kill, name=name)) for name in DEPENDENCY),
    *(Fault(f"{DEPENDENCY[name]}: stopped", functools.partial(stop, name=name)) for name in DEPENDENCY),
)
