"""Faults of the servers themselves: killed, or stopped in the middle of whatever they do."""

import asyncio
import functools
import signal

from tests.chaos.faults.fault import Fault
from tests.chaos.site import Site

DEPENDENCY = {"rabbitmq": "broker", "mongo": "database", "s3": "object_store"}
STOPPED_S = 4.0


async def kill(site: Site, name: str) -> None:
    """kill -9; it is back when its own supervisor has started it again."""
    with site.outage(DEPENDENCY[name], "kill -9"):
        await site.kill_server(name)


async def stop(site: Site, name: str) -> None:
    """The kernel still takes connections for it, nobody answers."""
    with site.outage(DEPENDENCY[name], "stopped"):
        await site.signal_server(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            await site.signal_server(name, signal.SIGCONT)


FAULTS = (
    *(Fault(f"{DEPENDENCY[name]}: kill -9", functools.partial(kill, name=name)) for name in DEPENDENCY),
    *(Fault(f"{DEPENDENCY[name]}: stopped", functools.partial(stop, name=name)) for name in ("rabbitmq", "mongo")),
)
