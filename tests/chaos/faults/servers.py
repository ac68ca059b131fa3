"""Faults of the servers themselves: killed or stopped."""

import asyncio
import functools
import signal

from tests.chaos.faults.fault import Fault
from tests.chaos.system import System

DEPENDENCY = {"rabbitmq": "broker", "mongo": "database", "s3": "object_store"}
STOPPED_S = 4.0


async def kill(system: System, name: str) -> None:
    """Kill the server with SIGKILL; its supervisor restarts it."""
    with system.outage(DEPENDENCY[name], "kill -9"):
        await system.kill_server(name)


async def stop(system: System, name: str) -> None:
    """Stop the server with SIGSTOP: the kernel still accepts connections, nothing answers."""
    with system.outage(DEPENDENCY[name], "stopped"):
        await system.signal_server(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            await system.signal_server(name, signal.SIGCONT)


FAULTS = (
    *(Fault(f"{DEPENDENCY[name]}: kill -9", functools.partial(kill, name=name)) for name in DEPENDENCY),
    *(Fault(f"{DEPENDENCY[name]}: stopped", functools.partial(stop, name=name)) for name in ("rabbitmq", "mongo")),
)
