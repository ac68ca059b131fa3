"""What all slots of a worker share."""

import asyncio

import msgspec

from conversion_worker.job.workspace import Workspace
from conversion_worker.single_flight.waiters import Waiters
from conversion_worker.slot.exclusive_gate import ExclusiveGate
from conversion_worker.slot.families import TakenFamilies
from conversion_worker.worker_registry import RunningJobs
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import ConversionStore
from converto_infra.clock import Clock
from converto_infra.settings import Settings


class Stop:
    """Two requests to a worker: take no new message, and hand back what is running."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.hand_back = asyncio.Event()


class WorkerContext(msgspec.Struct, frozen=True):
    """Ports, settings and shared state of one worker."""

    worker_id: str
    families: TakenFamilies
    conversions: ConversionStore
    objects: ObjectStore
    bus: EventBus
    waiters: Waiters
    workspace: Workspace
    running_jobs: RunningJobs
    gate: ExclusiveGate
    stop: Stop
    settings: Settings
    clock: Clock
