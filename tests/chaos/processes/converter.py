"""The converters of a worker under test: one whose engine misbehaves as its source says, and real ones."""

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
from tests.chaos.processes.crash_points import CrashPoints
from tests.chaos.report.journal import Journal
from tests.chaos.sources import MARK, kind_of

ENGINE = Path(__file__).with_name("engine.py")
STARTED_S = 0.03  # by then the program runs


class ChaosConverter:
    """Converts text to JSON, a pair that no real converter offers, with a program that may do anything."""

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

    def __init__(self, sandbox: Sandbox, crash_points: CrashPoints) -> None:
        self._sandbox, self._crash_points = sandbox, crash_points

    async def version(self) -> str | None:
        """Return a version: the engine is always installed."""
        return "1"

    async def convert(self, job: Job) -> list[Product]:
        """Run the engine; a poison source crashes the whole worker."""
        content = await asyncio.to_thread(job.source.read_bytes)
        if not content.startswith(MARK.encode()):
            raise CorruptSource()
        if kind_of(content) == "poison":
            self._crash_points.crash("poison", run_of(job))
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
        """Nothing to close."""


class Watched:
    """A converter whose runs are recorded, with a crash point while its engine runs."""

    def __init__(self, inner: Converter, journal: Journal, crash_points: CrashPoints) -> None:
        self._inner, self._journal, self._crash_points = inner, journal, crash_points

    def __getattr__(self, name: str) -> object:
        """Delegate everything else to the inner converter."""
        return getattr(self._inner, name)

    async def convert(self, job: Job) -> list[Product]:
        """Record the start of the engine, then run it."""
        run = run_of(job)
        self._journal.note("started", run)
        running = asyncio.ensure_future(self._inner.convert(job))
        try:
            await asyncio.wait({running}, timeout=STARTED_S)
            self._crash_points.crash_if_requested("converting", run)
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})


def build(sandbox: Sandbox, scratch: Path | None, *, journal: Journal, crash_points: CrashPoints) -> list[Watched]:
    """Return the converters of one slot."""
    converters: list[Converter] = [ChaosConverter(sandbox, crash_points), Pictures(sandbox, scratch=scratch)]
    return [Watched(converter, journal, crash_points) for converter in converters]


def run_of(job: Job) -> str:
    """Return `<conversion>-<token>`: the worker names the folder above a step's own so."""
    return job.folder.parent.name


def _failure(output: str) -> Exception:
    if "No space left" in output:
        return EngineError("The worker has too little free disk space for this file", code="insufficient_storage")
    return EngineError(detail=output)
