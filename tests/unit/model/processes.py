"""File service and housekeeper as processes that a test can freeze, kill and cut off. They run the production code."""

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any

from converto_core.access import NewIds
from converto_core.errors import (
    BusUnavailable,
    ConvertoError,
    ObjectStoreUnavailable,
    StoreUnavailable,
    UploadEventsUnavailable,
)
from converto_infra.clock import Clock
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.settings import Settings
from file_service.housekeeping.schedule import SHORTEST_PAUSE_S
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.http.idempotency import Answer
from file_service.uploads.event_consumer import UploadEventConsumer
from file_service.wiring import Wiring, build_wiring
from tests.unit.model.checks.facts import Facts
from tests.unit.model.checks.reference_model import API, HOUSEKEEPER
from tests.unit.model.links import ACTOR, Link, Remote, RemoteBus, RemoteObjects, RemoteStores
from tests.unit.model.requests import Creation
from tests.unit.model.stepped_loop import SteppedLoop


class Servers:
    """The servers, the settings of all processes and the true time."""

    def __init__(
        self,
        *,
        loop: SteppedLoop,
        stores: MemoryStores,
        objects: MemoryObjectStore,
        bus: MemoryEventBus,
        upload_events: MemoryUploadEvents,
        facts: Facts,
        settings: Settings,
        start_ms: int,
        folder: Path,
        is_shuffled: bool,
    ) -> None:
        """`folder` is the disk of all workers; with `is_shuffled`, calls overtake each other by chance."""
        self.loop, self.stores, self.objects, self.bus = loop, stores, objects, bus
        self.upload_events, self.facts = upload_events, facts
        self.settings, self.start_ms, self.folder, self.is_shuffled = settings, start_ms, folder, is_shuffled
        self.violations: list[str] = []

    def now_ms(self) -> int:
        """The true wall clock."""
        return self.start_ms + int(self.loop.time() * 1000)


class OwnClock(Clock):
    """The clocks of one process: both differ from those of others, and no timer fires while it is frozen."""

    def __init__(self, process: "Process", offset_s: float) -> None:
        self._process, self._offset_s = process, offset_s
        self.wrong_ms = 0

    def monotonic(self) -> float:
        return self._process.servers.loop.time() + self._offset_s

    def now_ms(self) -> int:
        return self._process.servers.now_ms() + self.wrong_ms

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self._process.awake()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        await super().wait(event, seconds)
        await self._process.awake()
        return event.is_set()


class Process:
    """A running process with its own link to each server."""

    role = ""

    def __init__(self, servers: Servers, name: str, *, offset_s: float) -> None:
        self.servers, self.name, self.is_dead = servers, name, False
        self.lease_s, self.is_shuffled = servers.settings.lease_s, servers.is_shuffled
        self.clock = OwnClock(self, offset_s)
        self.database = Link(self, StoreUnavailable)
        self.broker = Link(self, BusUnavailable)
        self.storage = Link(self, ObjectStoreUnavailable)
        self.reports = Link(self, UploadEventsUnavailable)
        self.links = (self.database, self.broker, self.storage, self.reports)
        self.stores: Any = RemoteStores(servers.stores, self.database)
        self.objects: Any = RemoteObjects(servers.objects, self.storage)
        self.bus: Any = RemoteBus(servers.bus, self.broker)
        self.upload_events: Any = Remote(servers.upload_events, self.reports)
        self._awake = asyncio.Event()
        self._awake.set()
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order of their start

    def __repr__(self) -> str:
        return self.name

    @property
    def is_frozen(self) -> bool:
        return not self._awake.is_set()

    def freeze(self) -> None:
        """Like SIGSTOP: time goes on and the process does not notice."""
        self._awake.clear()

    def thaw(self) -> None:
        """Like SIGCONT."""
        self._awake.set()

    async def awake(self) -> None:
        """Wait while the process is frozen; no code of a dead process goes on."""
        while not self._awake.is_set():
            await self._awake.wait()
        if self.is_dead:
            raise asyncio.CancelledError

    def kill(self) -> None:
        """From now on, nothing it does reaches a server."""
        self.is_dead = True
        self.thaw()
        for task in list(self._tasks):
            task.cancel()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(ACTOR.set, self)
        task = self.servers.loop.create_task(work, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and not self.is_dead and (error := task.exception()) is not None:
            self.servers.violations.append(f"{self.name} raised {error!r}")


class Api(Process):
    """The file service without HTTP: the use cases behind its routes, and the consumer of upload events."""

    role = API

    def __init__(self, servers: Servers, name: str, *, offset_s: float) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        self.wiring: Wiring = build_wiring(
            servers.settings, self.stores, self.objects, self.bus, monotonic=self.clock.monotonic
        )
        self.spawn(self.wiring.dispatch.run(asyncio.Event()))
        consumer = UploadEventConsumer(
            self.upload_events,
            self.stores.files,
            confirm_upload=self.confirm_unattended,
            check_dependencies=self.stores.ping,
            clock=self.clock,
        )
        self.spawn(consumer.run(asyncio.Event()))

    async def confirm_unattended(self, file_id: str) -> None:
        """Confirm an upload that the object store has reported."""
        await self.wiring.starter.confirm_upload(None, file_id)

    def create(self, creation: Creation) -> None:
        """Handle a POST of a conversion with its Idempotency-Key."""
        self.ask(self._create(creation))

    async def _create(self, creation: Creation) -> None:
        async def work(new_ids: NewIds) -> Answer:
            self.servers.facts.served(creation, new_ids)
            created = await creation.submit(self.wiring.submission, new_ids)
            return Answer(status=201, body=created.conversion.id.encode())

        try:
            answer = await self.wiring.idempotency.once(creation.request, creation.content, work)
        except ConvertoError as error:
            creation.refused(error)
            return
        await self.awake()
        creation.answered(answer)

    def ask(self, request: Coroutine[Any, Any, Any]) -> None:
        """Handle a user's request; an error response counts as an answer."""
        self.spawn(_answered(request))


async def _answered(request: Coroutine[Any, Any, Any]) -> None:
    try:
        await request
    except ConvertoError:
        return


class Housekeeper(Process):
    """All sweeps, each at its own interval."""

    role = HOUSEKEEPER

    def __init__(self, servers: Servers, name: str, *, offset_s: float, lease_s: float) -> None:
        super().__init__(servers, name, offset_s=offset_s)
        self.lease_s = lease_s
        wiring = build_wiring(servers.settings, self.stores, self.objects, self.bus, monotonic=self.clock.monotonic)
        self._nudge: dict[str, asyncio.Event] = {}

        async def confirm_upload(file_id: str) -> None:
            await wiring.starter.confirm_upload(None, file_id)

        sweeps = Sweeps(
            servers.settings.model_copy(update={"lease_s": lease_s}),
            self.stores,
            self.objects,
            self.bus,
            confirm_upload=confirm_upload,
            monotonic=self.clock.monotonic,
            now_ms=self.clock.now_ms,
        )
        for sweep in sweeps.all:
            self.spawn(self._repeat(sweeps, sweep))

    def nudge(self) -> None:
        """Run all sweeps now."""
        for event in self._nudge.values():
            event.set()

    async def _repeat(self, sweeps: Sweeps, sweep: Sweep) -> None:
        nudge = self._nudge[sweep.name] = asyncio.Event()
        while True:
            await self.awake()
            nudge.clear()
            await sweeps.run(sweep)
            known_s = sweep.next_in_s()
            pause_s = sweep.interval_s if known_s is None else min(sweep.interval_s, max(known_s, SHORTEST_PAUSE_S))
            await self.clock.wait(nudge, pause_s)
