"""The client, upload events and sweeps confirm one upload at once, and processes die meanwhile: one outcome (C7).

Each run has three processes over the same servers in memory. Calls take a random number of turns of the loop, so that
the steps of the three interleave in another way with each seed.
"""

import asyncio
import hashlib
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from converto_core.access import NewIds
from converto_core.catalogue import Worker
from converto_core.conversion.cache_key import CacheEntry, cache_key
from converto_core.conversion.processing import claim, complete
from converto_core.conversion.record import Conversion, HistoryEvent, Lane, Output, Status
from converto_core.errors import RequestError
from converto_core.events import ConversionCreated
from converto_core.files.record import File, FileStatus
from converto_core.ids import new_id, now_ms
from converto_core.object_keys import output_key
from converto_core.ports.objects import ObjectInfo
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.settings import Settings
from file_service.delivery.outbox import Outbox
from file_service.housekeeping.trusted_time import TrustedTime
from file_service.housekeeping.waiting_uploads import WaitingUploads
from file_service.http.schemas.conversions import NewConversion
from file_service.http.schemas.files import NewFile
from file_service.uploads.event_consumer import UploadEventConsumer
from file_service.wiring import build_sender, build_wiring, look_schedule
from tests.unit.file_service.conftest import EXE, PNG, offers

OWNER = "anna"
SETTINGS = Settings()
RUNS = 60
"""A few hundred interleavings of all cases in about two seconds."""
LATER_MS = 20 * 60_000
PART_BYTES = 40


class S3LikeObjects(MemoryObjectStore):
    """States the verified SHA-256 of objects, as S3 does, which the result cache needs."""

    async def head(self, key: str) -> ObjectInfo | None:
        found = await super().head(key)
        if found is None:
            return None
        sha256 = hashlib.sha256(self._objects[key].body).hexdigest()
        return ObjectInfo(size_bytes=found.size_bytes, etag=found.etag, content_type=found.content_type, sha256=sha256)


class RecordingBus(MemoryEventBus):
    """Keeps every message."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[ConversionCreated] = []

    async def publish(self, event: ConversionCreated) -> None:
        await super().publish(event)
        self.sent.append(event)


class Slowed:
    """A port whose calls take a random number of turns, before and after they have their effect."""

    def __init__(self, target: Any, chance: random.Random) -> None:
        self._target, self._chance = target, chance

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name in {"conversions", "files", "cache", "workers", "access", "history", "dead_letters"}:
            return Slowed(found, self._chance)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._turns()
            answer = await found(*arguments, **named)
            await self._turns()
            return answer

        return call

    async def _turns(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


class Run:
    """One upload, and what confirms it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stores, self.objects, self.bus = MemoryStores(), S3LikeObjects(), RecordingBus()
        self.events = MemoryUploadEvents(wait_s=0.001, max_deliveries=100)
        self._wiring = build_wiring(SETTINGS, self.stores, self.objects, self.bus)

    async def prepare(self, body: bytes, *, multipart: bool = False) -> tuple[File, Conversion]:
        """Create a conversion and send the bytes of its file."""
        worker = Worker(
            id="w1", host="h", pid=1, started_at=0, seen_at=now_ms(), slots=2, sandbox="off", offers=offers()
        )
        await self.stores.workers.put(worker)
        new = NewConversion(
            target_format="webp", file=NewFile(filename="a.png", size_bytes=len(body), multipart=multipart)
        )
        made = await self._wiring.submission.create(OWNER, new, NewIds(conversion_id=new_id(), file_id=new_id()))
        if multipart:
            await self._send_parts(made.file, body)
        else:
            await self.objects.put(made.file.key, body, content_type="image/png")
        return made.file, made.conversion

    async def _send_parts(self, file: File, body: bytes) -> None:
        """Send all parts; they are smaller than S3 allows, because hashing large ones would take most of the time."""
        waiting = {FileStatus.AWAITING_UPLOAD}
        await self.stores.files.update(file.id, version=1, expected=waiting, assign={"part_size_bytes": PART_BYTES})
        parts = [body[start : start + PART_BYTES] for start in range(0, len(body), PART_BYTES)]
        requests = await self.objects.presign_parts(file.key, str(file.upload_id), range(1, len(parts) + 1))
        for request, part in zip(requests, parts, strict=True):
            await self.objects.send(request, part)

    async def add_result(self, body: bytes) -> Conversion:
        """An earlier conversion of the same content, whose result the cache knows."""
        file, conversion = await self.prepare(body)
        await self._wiring.starter.confirm_upload(OWNER, file.id)
        claimed = await self._applied(claim(conversion.id, token=0, worker="w1", now_ms=now_ms()))
        key = output_key(claimed, "a.webp")
        await self.objects.put(key, b"result", content_type="image/webp")
        output = Output(
            key=key,
            filename="a.webp",
            content_type="image/webp",
            size_bytes=6,
            sha256=hashlib.sha256(b"result").hexdigest(),
            sha512="0" * 128,
        )
        done = await self._applied(
            complete(claimed, outputs=(output,), engine_versions={"vips": "8.14"}, now_ms=now_ms())
        )
        cached = cache_key(done, contents=(hashlib.sha256(body).hexdigest(),), offers=offers(), is_for_all_owners=False)
        assert cached is not None
        await self.stores.cache.lead(
            CacheEntry(id=cached, conversion_id=done.id, token=done.token, owner=OWNER, created_at=now_ms())
        )
        self.bus.sent.clear()
        return done

    async def _applied(self, change: Any) -> Conversion:
        after = await self.stores.conversions.apply(change)
        assert after is not None
        return after

    async def race(self, file: File, *, deaths: int) -> None:
        """Confirm in all ways at once; `deaths` of the processes die at a random step."""
        self.events.send(file.key)
        self.events.send(file.key)
        processes = [asyncio.create_task(self._process(act)) for act in (self._ask, self._consume, self._sweep)]
        for doomed in self.chance.sample(processes, deaths):
            asyncio.get_running_loop().call_soon(_cancel_after, doomed, self.chance.randrange(120))
        async with asyncio.timeout(10):
            await asyncio.gather(*processes, return_exceptions=True)
        for ended in processes:
            assert ended.cancelled() or ended.exception() is None

    async def recover(self) -> None:
        """What happens within minutes in any case: a later sweep, the events that were not deleted, the outbox."""
        for message in self.events.waiting:
            await self.events.hide(message, seconds=0)
        await self._process(self._sweep)
        await self._process(self._consume)
        sender = build_sender(SETTINGS, self.stores, self.bus)
        await Outbox(self.stores.conversions, self.bus, sender, monotonic=lambda: 0.0, now_ms=now_ms).sweep()

    async def _process(self, act: Callable[[Any, Any], Awaitable[None]]) -> None:
        stores, objects = Slowed(self.stores, self.chance), Slowed(self.objects, self.chance)
        wiring = build_wiring(SETTINGS, stores, objects, Slowed(self.bus, self.chance))
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(wiring.dispatch.run(stopping))
            await asyncio.sleep(0)
            await act(wiring, stores)
            stopping.set()

    async def _ask(self, wiring: Any, stores: Any) -> None:
        """The client confirms twice, as after a lost answer."""
        (file,) = await self.stores.files.find(owner=OWNER, after=None, limit=1)
        for answer in await asyncio.gather(
            *(wiring.starter.confirm_upload(OWNER, file.id) for _ in range(2)), return_exceptions=True
        ):
            assert not isinstance(answer, Exception) or isinstance(answer, RequestError), repr(answer)

    async def _consume(self, wiring: Any, stores: Any) -> None:
        async def confirm(file_id: str) -> None:
            await wiring.starter.confirm_upload(None, file_id)

        consumer = UploadEventConsumer(
            self.events, stores.files, confirm_upload=confirm, check_dependencies=stores.ping
        )
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stopping))
            while self.events._visible():  # noqa: ASYNC110 - the twin answers at once: others need a turn, not time
                await asyncio.sleep(0)
            stopping.set()

    async def _sweep(self, wiring: Any, stores: Any) -> None:
        async def confirm(file_id: str) -> None:
            await wiring.starter.confirm_upload(None, file_id)

        def later_ms() -> int:
            return now_ms() + LATER_MS

        time = TrustedTime(MemoryObjectStore(clock=later_ms), later_ms)
        sweeps = [
            WaitingUploads(
                stores.conversions,
                stores.files,
                looks=look_schedule(SETTINGS),
                confirm_upload=confirm,
                time=time,
                now_ms=later_ms,
            )
            for _ in range(2)
        ]
        await asyncio.gather(*(sweep.sweep() for sweep in sweeps))

    async def events_of(self, conversion: Conversion) -> list[HistoryEvent]:
        return [entry.event for entry in await self.stores.history.of(conversion.id, owner=OWNER)]

    async def record(self, conversion: Conversion) -> Conversion:
        found = await self.stores.conversions.get(conversion.id)
        assert found is not None
        return found

    async def uploaded(self, file: File) -> File:
        found = await self.stores.files.get(file.id)
        assert found is not None
        assert found.status is FileStatus.UPLOADED
        return found


def _cancel_after(doomed: asyncio.Task[None], turns: int) -> None:
    if turns > 0:
        asyncio.get_running_loop().call_soon(_cancel_after, doomed, turns - 1)
    else:
        doomed.cancel()


@asynccontextmanager
async def named(seed: int) -> AsyncIterator[Run]:
    """One run; a failure names its seed."""
    try:
        yield Run(seed)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("multipart", [False, True])
async def test_one_pending_and_one_message_whoever_is_first(multipart: bool) -> None:
    for seed in range(RUNS):
        async with named(seed) as run:
            file, conversion = await run.prepare(PNG, multipart=multipart)
            await run.race(file, deaths=0)

            record = await run.record(conversion)
            assert (record.status, record.lane, record.published) == (Status.PENDING, Lane.NORMAL, 1)
            assert (await run.events_of(conversion)).count(HistoryEvent.QUEUED) == 1
            assert [message.id for message in run.bus.sent] == [conversion.id]
            assert (await run.uploaded(file)).detected_format == "png"
            assert run.events.waiting == []


@pytest.mark.parametrize("deaths", [1, 2, 3])
@pytest.mark.parametrize("multipart", [False, True])
async def test_one_pending_even_if_processes_die(deaths: int, multipart: bool) -> None:
    """A message may be sent again after a crash, but it is the same message: it permits one claim."""
    for seed in range(RUNS):
        async with named(seed) as run:
            file, conversion = await run.prepare(PNG, multipart=multipart)
            await run.race(file, deaths=deaths)
            await run.recover()

            record = await run.record(conversion)
            assert record.status is Status.PENDING
            assert (await run.events_of(conversion)).count(HistoryEvent.QUEUED) == 1
            assert len({message.message_id for message in run.bus.sent}) == 1
            assert (await run.uploaded(file)).detected_format == "png"
            assert run.events.waiting == []


@pytest.mark.parametrize("deaths", [0, 2])
async def test_cached_result_is_used_once(deaths: int) -> None:
    """I8: completed from the cache with the right bytes, without a message, whoever copies them."""
    for seed in range(RUNS):
        async with named(seed) as run:
            await run.add_result(PNG)
            file, conversion = await run.prepare(PNG)
            await run.race(file, deaths=deaths)
            await run.recover()

            record = await run.record(conversion)
            assert (record.status, len(record.outputs), run.bus.sent) == (Status.COMPLETED, 1, [])
            assert await run.objects.read_range(record.outputs[0].key, start=0, length=99) == b"result"
            assert (await run.events_of(conversion)).count(HistoryEvent.COMPLETED) == 1


@pytest.mark.parametrize("deaths", [0, 2])
async def test_unusable_file_fails_once(deaths: int) -> None:
    for seed in range(RUNS):
        async with named(seed) as run:
            file, conversion = await run.prepare(EXE)
            await run.race(file, deaths=deaths)
            await run.recover()

            record = await run.record(conversion)
            assert (record.status, len(record.errors), run.bus.sent) == (Status.FAILED, 1, [])
            assert (await run.events_of(conversion)).count(HistoryEvent.REFUSED) == 1


async def test_cancel_during_the_race_wins_or_comes_late() -> None:
    """A conversion that its user cancels is not started by a confirmation that read it before."""
    for seed in range(RUNS):
        async with named(seed) as run:
            file, conversion = await run.prepare(PNG)
            cancelling = asyncio.create_task(run._wiring.records.cancel(OWNER, conversion.id))
            await run.race(file, deaths=0)
            await cancelling
            await run.recover()

            events = await run.events_of(conversion)
            assert (await run.record(conversion)).status is Status.CANCELLED
            assert events.count(HistoryEvent.CANCELLED) == 1
            assert events[-1] is HistoryEvent.CANCELLED
