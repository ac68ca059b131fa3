"""The faults, the same for both sides. Each returns 1 once its target is back, and 0 if it found no target."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aio_pika
import msgspec

from bench.reliability.programs import LEASE_S, Programs
from converto_core.conversion.record import Lane
from converto_core.events import queue_name
from converto_core.formats import Family
from deploy.local.stack.stack import Stack

STOP_S = 3 * LEASE_S  # longer than converto's lease and than two of Celery's heartbeats
PURGE_WITHIN_S = 10.0
CHILD_SEARCHES, CHILD_SEARCH_PAUSE_S = 100, 0.02


class Site(msgspec.Struct, frozen=True):
    """The stack and the programs of the side under test."""

    stack: Stack
    programs: Programs


async def kill_worker(site: Site, chance: random.Random) -> int:
    """Kill -9 one worker's main process; the supervisor restarts it."""
    os.kill(chance.choice(site.programs.workers).pid, signal.SIGKILL)
    return 1


async def kill_child(site: Site, chance: random.Random) -> int:
    """Kill -9 a working child: a process of Celery's pool, or the program that converto runs."""
    worker = chance.choice(site.programs.workers)
    for _ in range(CHILD_SEARCHES):
        children = _children_of(worker.pid)
        if children:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(children), signal.SIGKILL)
                return 1
        await asyncio.sleep(CHILD_SEARCH_PAUSE_S)
    return 0


def _children_of(pid: int) -> list[int]:
    """Return the direct children: a pool process is one, the program that it runs is not."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in listed.split()]


async def kill_broker(site: Site, chance: random.Random) -> int:
    """Kill -9 the broker; it restarts with what it had on disk."""
    site.stack.kill("rabbitmq")
    await site.stack.wait_healthy("rabbitmq")
    return 1


async def cut_broker(site: Site, chance: random.Random) -> int:
    """Reset all connections to the broker at once."""
    site.programs.broker_proxy.cut()
    return 1


async def kill_database(site: Site, chance: random.Random) -> int:
    """Kill -9 the database; it restarts."""
    site.stack.kill("mongo")
    await site.stack.wait_healthy("mongo")
    return 1


async def purge_queues(site: Site, chance: random.Random) -> int:
    """Purge the work queues, as an operator might."""
    names = ["peer", *(queue_name(Family.IMAGE, lane) for lane in Lane)]
    async with asyncio.timeout(PURGE_WITHIN_S):
        connection = await aio_pika.connect(site.stack.environment["CONVERTO_RABBITMQ_URL"])
        async with connection:
            for name in names:
                with suppress(aio_pika.exceptions.ChannelNotFoundEntity):
                    channel = await connection.channel()
                    await (await channel.get_queue(name, ensure=False)).purge()
    return 1


async def stop_worker(site: Site, chance: random.Random) -> int:
    """SIGSTOP one worker with all its children until it counts as lost, then SIGCONT."""
    worker = chance.choice(site.programs.workers)
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOP_S)
    finally:
        os.killpg(worker.pid, signal.SIGCONT)
    return 1


FAULTS: dict[str, Callable[[Site, random.Random], Awaitable[int]]] = {
    "worker killed": kill_worker,
    "child killed": kill_child,
    "broker killed": kill_broker,
    "broker cut": cut_broker,
    "database killed": kill_database,
    "queues purged": purge_queues,
    "worker stopped": stop_worker,
}
