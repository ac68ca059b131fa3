"""The faults, alike for both sides. Each returns 1 when it is over and its victim is back, 0 when it found none."""

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

STOP_S = 3 * LEASE_S  # beyond converto's lease, and beyond two of Celery's heartbeats
PURGE_WITHIN_S = 10.0
CHILD_LOOKS, CHILD_LOOK_S = 100, 0.02


class Scene(msgspec.Struct, frozen=True):
    """Where faults happen."""

    stack: Stack
    programs: Programs


async def kill_worker(scene: Scene, chance: random.Random) -> int:
    """Kill -9 of one worker's main process; it is started again like all that ends."""
    os.kill(chance.choice(scene.programs.workers).pid, signal.SIGKILL)
    return 1


async def kill_child(scene: Scene, chance: random.Random) -> int:
    """Kill -9 of a child that works: one of Celery's pool, or the program that converto runs."""
    worker = chance.choice(scene.programs.workers)
    for _ in range(CHILD_LOOKS):
        children = _children_of(worker.pid)
        if children:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(children), signal.SIGKILL)
                return 1
        await asyncio.sleep(CHILD_LOOK_S)
    return 0


def _children_of(pid: int) -> list[int]:
    """Direct children: a pool process is one, the program that it runs is not."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in listed.split()]


async def kill_broker(scene: Scene, chance: random.Random) -> int:
    """Kill -9 of the broker, which is started again with what it had on disk."""
    scene.stack.kill("rabbitmq")
    await scene.stack.wait_healthy("rabbitmq")
    return 1


async def cut_broker(scene: Scene, chance: random.Random) -> int:
    """All connections to the broker are reset at once."""
    scene.programs.broker_proxy.cut()
    return 1


async def kill_database(scene: Scene, chance: random.Random) -> int:
    """Kill -9 of the database, which is started again."""
    scene.stack.kill("mongo")
    await scene.stack.wait_healthy("mongo")
    return 1


async def purge_queues(scene: Scene, chance: random.Random) -> int:
    """An operator empties the queues of work."""
    names = ["peer", *(queue_name(Family.IMAGE, lane) for lane in Lane)]
    async with asyncio.timeout(PURGE_WITHIN_S):
        connection = await aio_pika.connect(scene.stack.environment["CONVERTO_RABBITMQ_URL"])
        async with connection:
            for name in names:
                with suppress(aio_pika.exceptions.ChannelNotFoundEntity):
                    channel = await connection.channel()
                    await (await channel.get_queue(name, ensure=False)).purge()
    return 1


async def stop_worker(scene: Scene, chance: random.Random) -> int:
    """SIGSTOP of one worker with all its children until everybody else has given it up, then SIGCONT."""
    worker = chance.choice(scene.programs.workers)
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOP_S)
    finally:
        os.killpg(worker.pid, signal.SIGCONT)
    return 1


FAULTS: dict[str, Callable[[Scene, random.Random], Awaitable[int]]] = {
    "worker killed": kill_worker,
    "child killed": kill_child,
    "broker killed": kill_broker,
    "broker cut": cut_broker,
    "database killed": kill_database,
    "queues purged": purge_queues,
    "worker stopped": stop_worker,
}
