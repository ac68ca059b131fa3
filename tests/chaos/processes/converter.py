"""The converters of a mortal worker: one whose engine misbehaves as its source says, and real ones, all watched."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from converto_core.catalogue import Loss
from converto_core.errors import CorruptSource, EngineError, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Converter, Job, NoOptions, Product
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime import interpreter
from converto_engines.runtime.process import Sandbox
from tests.chaos.processes.death import Death
from tests.chaos.report.journal import Journal
from tests.chaos.sources import MARK, kind_of

ENGINE = Path(__file__).with_name("engine.py")
STARTED_S = 0.03  # by then a program runs


class ChaosConverter:
    """Text to JSON, a pair that no real converter serves, by a program that may do anything."""

    name = "chaos"
    engine = "chaos"
    family = Family.OFFICE
    sources: tuple[str, ...] = ("txt",)
    targets: tuple[str, ...] = ("json",)
    options: type[msgspec.Struct] = NoOptions
    loss = 0.0
    seconds = 0.2
    is_paged = False
    losses: tuple[Loss, ...] = ()

    def __init__(self, sandbox: Sandbox, death: Death) -> None:
        self._sandbox, self._death = sandbox, death

    async def version(self) -> str | None:
        """Always there."""
        return "1"

    async def convert(self, job: Job) -> list[Product]:
        """Run the engine; a poison takes the whole worker down."""
        content = await asyncio.to_thread(job.source.read_bytes)
        if not content.startswith(MARK.encode()):
            raise CorruptSource()
        if kind_of(content) == "poison":
            self._death.come("poison", run_of(job))
        product = job.folder / "result.json"
        paths = [self._sandbox.path_inside(job.folder, path) for path in (job.source, product)]
        finished = await self._sandbox.run(
            [os.path.realpath(sys.executable), "-I", "-S", str(ENGINE), *paths],
            folder=job.folder,
            limits=job.limits,
            readable=(*interpreter.readable_folders(), ENGINE.parent),
        )
        if finished.exit_code:
            raise _failure(finished.stderr_tail)
        if not product.exists():
            raise OutputInvalid()
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""


class Watched:
    """A converter whose runs are written down, and in whose runs a worker may die."""

    def __init__(self, inner: Converter, journal: Journal, death: Death) -> None:
        self._inner, self._journal, self._death = inner, journal, death

    def __getattr__(self, name: str) -> object:
        """Everything else is the inner converter's."""
        return getattr(self._inner, name)

    async def convert(self, job: Job) -> list[Product]:
        """Note that an engine starts, then let it."""
        run = run_of(job)
        self._journal.note("started", run)
        running = asyncio.ensure_future(self._inner.convert(job))
        try:
            await asyncio.wait({running}, timeout=STARTED_S)
            self._death.may_come("converting", run)
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})


def build(sandbox: Sandbox, scratch: Path | None, *, journal: Journal, death: Death) -> list[Watched]:
    """The converters of one slot."""
    converters: list[Converter] = [ChaosConverter(sandbox, death), Pictures(sandbox, scratch=scratch)]
    return [Watched(converter, journal, death) for converter in converters]


def run_of(job: Job) -> str:
    """`<conversion>-<token>`: the folder above a step's own is named so by the worker."""
    return job.folder.parent.name


def _failure(said: str) -> Exception:
    if "No space left" in said:
        return EngineError("The worker has too little free disk space for this file", code="insufficient_storage")
    return EngineError(detail=said)
