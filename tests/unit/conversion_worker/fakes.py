"""Stand-ins for time and for programs, so that a test decides what happens and when."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from converto_core.catalogue import Loss
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_core.errors import StoreUnavailable
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_infra.memory.stores import MemoryStores

START_MS = 1_790_000_000_000


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    @property
    def is_waited_for(self) -> bool:
        return bool(self._sleepers)

    def monotonic(self) -> float:
        return self._now

    def now_ms(self) -> int:
        return START_MS + int(self._now * 1000)

    async def sleep(self, seconds: float) -> None:
        await self.wait(asyncio.Event(), seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        alarm = asyncio.Event()
        sleeper = (self._now + max(seconds, 0), alarm)
        self._sleepers.append(sleeper)
        self._ring()
        waiting = [asyncio.ensure_future(one.wait()) for one in (event, alarm)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.remove(sleeper)
            for one in waiting:
                one.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._ring()

    def _ring(self) -> None:
        for due, alarm in self._sleepers:
            if due <= self._now:
                alarm.set()


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 5.0) -> None:
    """Let everything else run until the condition holds; fails after a deadline."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.001)


async def passing(clock: FakeClock, condition: Callable[[], bool], *, step_s: float = 0.5) -> None:
    """Let fake time pass step by step until the condition holds."""

    def held() -> bool:
        if not condition():
            clock.advance(step_s)
        return condition()

    await until(held)


class AnyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the fake converter."""

    times: int = 1


Behaviour = Callable[[Job], Awaitable[list[Product]]]


class FakeConverter:
    """A converter whose behaviour each test sets; it notes what it was given."""

    engine, loss, is_paged = "fake", 0.0, False
    losses: tuple[Loss, ...] = ()
    family: Family = Family.OFFICE
    options: type[msgspec.Struct] = AnyOptions

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        name: str = "fake",
        source: str = "txt",
        target: str = "pdf",
        seconds: float = 1,
        joins: bool = False,
    ) -> None:
        self.name, self.seconds, self.joins = name, seconds, joins
        self.sources: tuple[str, ...] = (source,)
        self.targets: tuple[str, ...] = (target,)
        self.behaviour = behaviour
        self.jobs: list[Job] = []
        self.sources_seen: list[bytes] = []
        self.cancelled = 0

    async def version(self) -> str | None:
        return "1.0"

    async def convert(self, job: Job) -> list[Product]:
        self.jobs.append(job)
        self.sources_seen.append(job.source.read_bytes())
        try:
            return await self.behaviour(job)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def aclose(self) -> None:
        """Nothing is kept warm."""


async def make_upper_case(job: Job) -> list[Product]:
    """The usual behaviour: one product, whose content follows from the source."""
    product = job.folder / f"made.{job.target_format}"
    product.write_bytes(job.source.read_bytes().upper())
    job.report(100.0, "written")
    return [Product(path=product)]


class Gate:
    """A behaviour that waits until the test opens it."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: Job) -> list[Product]:
        self.reached.set()
        await self.open.wait()
        return await make_upper_case(job)


def failing_with(error: Exception) -> Behaviour:
    """A behaviour that raises."""

    async def behaviour(job: Job) -> list[Product]:
        raise error

    return behaviour


class LossyStores(MemoryStores):
    """A database whose answers can be lost: the update happens, the caller hears nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_answer_to: Callable[[Change], bool] = lambda change: False
        self.applied: list[tuple[Change, Conversion | None]] = []
        apply = self.conversions.apply

        async def apply_and_maybe_lose(change: Change) -> Conversion | None:
            record = await apply(change)
            self.applied.append((change, record))
            if self.lose_answer_to(change):
                self.lose_answer_to = lambda change: False
                raise StoreUnavailable(detail="the answer was lost")
            return record

        self.conversions.apply = apply_and_maybe_lose  # type: ignore[method-assign]


def files_in(folder: Path) -> list[str]:
    """Everything below a folder, for tests of wiping."""
    return sorted(str(Path(base, name).relative_to(folder)) for base, _, names in os.walk(folder) for name in names)
