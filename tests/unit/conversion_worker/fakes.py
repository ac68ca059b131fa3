"""Fake converters and a database that loses answers."""

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


class AnyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the fake converter."""

    times: int = 1


Behaviour = Callable[[Job], Awaitable[list[Product]]]


class FakeConverter:
    """A converter whose behaviour each test sets; it records its jobs."""

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
        """Nothing to close."""


async def make_upper_case(job: Job) -> list[Product]:
    """Make one product: the source in upper case."""
    product = job.folder / f"made.{job.target_format}"
    product.write_bytes(job.source.read_bytes().upper())
    job.report(100.0, "written")
    return [Product(path=product)]


class Gate:
    """A behaviour that waits until the test opens the gate."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: Job) -> list[Product]:
        self.reached.set()
        await self.open.wait()
        return await make_upper_case(job)


def failing_with(error: Exception) -> Behaviour:
    """Return a behaviour that raises `error`."""

    async def behaviour(job: Job) -> list[Product]:
        raise error

    return behaviour


class LossyStores(MemoryStores):
    """A database whose answers can be lost: the update is applied, the caller gets an error."""

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
    """Return the relative paths of all files below a folder."""
    return sorted(str(Path(base, name).relative_to(folder)) for base, _, names in os.walk(folder) for name in names)
