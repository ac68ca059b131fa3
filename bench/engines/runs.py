"""Runs one conversion in this process as a worker does (sniff, plan, sandboxed steps) and measures its cost."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from converto_core.catalogue import Offer
from converto_core.conversion.record import Step
from converto_core.errors import ConvertoError
from converto_core.formats import Format
from converto_engines import planner
from converto_engines.converter import Converter, Job, Limits, Product, ignore_report, offers_of, options_for
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.process_tree import usage_of
from converto_engines.sniffing import sniff

_POLL_S = 0.1


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one conversion; `code` is empty on success, otherwise the stable code of the error.

    `died` describes any other exception, which would end a worker.
    """

    name: str
    source: str
    target: str
    converters: tuple[str, ...]
    code: str = ""
    message: str = ""
    died: str = ""
    products: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0


class Engines:
    """All installed converters in a private folder, and the measurements of their runs."""

    def __init__(self, sandbox: Sandbox, scratch: Path, limits: Limits) -> None:
        """Use `opened`."""
        self.sandbox, self.limits, self._scratch = sandbox, limits, scratch
        self.converters: Sequence[Converter] = build_converters(sandbox, scratch=scratch)
        self.offers: tuple[Offer, ...] = ()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, limits: Limits, mode: str = "auto") -> AsyncIterator["Engines"]:
        """Yield engines; stops them and removes their files at the end."""
        with tempfile.TemporaryDirectory(prefix="converto-bench-") as folder:
            engines = cls(await Sandbox.choose(mode), Path(folder), limits)
            engines.offers = await offers_of(engines.converters)
            try:
                yield engines
            finally:
                for converter in engines.converters:
                    await converter.aclose()

    def plan(self, source: str, target: str) -> tuple[Step, ...] | None:
        """Return the steps; None when there is no route."""
        try:
            return planner.plan(source, target, self.offers)
        except ConvertoError:
            return None

    @contextlib.asynccontextmanager
    async def run(self, file: Path, steps: Sequence[Step]) -> AsyncIterator[tuple[Run, list[Path]]]:
        """Convert a file; its products exist until the context ends."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
        cost = _Cost()
        try:
            async with cost.watched():
                error, products = await self._convert(file, steps, folder)
            run = Run(
                name=file.name,
                source=steps[0].source_format,
                target=steps[-1].target_format,
                converters=tuple(step.converter for step in steps),
                products=len(products),
                wall_s=round(cost.wall_s, 2),
                cpu_s=round(cost.cpu_s, 2),
                peak_bytes=cost.peak_bytes,
                **error,
            )
            yield run, products
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _convert(self, file: Path, steps: Sequence[Step], folder: Path) -> tuple[dict[str, str], list[Path]]:
        try:
            products = await self._through(file, steps, folder)
        except ConvertoError as error:
            return {"code": error.stable_code, "message": error.public_message}, []
        except Exception as error:  # noqa: BLE001 -- what this benchmark searches for
            return {"code": "died", "died": repr(error)[:300]}, []
        return {}, [product.path for product in products]

    async def _through(self, file: Path, steps: Sequence[Step], folder: Path) -> list[Product]:
        products: list[Product] = []
        for number, step in enumerate(steps):
            own = folder / str(number)
            own.mkdir()
            await asyncio.to_thread(shutil.copyfile, products[0].path if products else file, own / "source")
            products = await self._converter(step.converter).convert(self._job(step, own))
        return products

    def _job(self, step: Step, folder: Path) -> Job:
        return Job(
            source=folder / "source",
            source_format=step.source_format,
            target_format=step.target_format,
            folder=folder,
            options=options_for(self._converter(step.converter), {}),
            limits=self.limits,
            report=ignore_report,
        )

    def _converter(self, name: str) -> Converter:
        return next(converter for converter in self.converters if converter.name == name)


def decided(file: Path) -> Format:
    """Return the format a file is converted from; raises the error that a user would get."""
    return sniff.decide(file.name, sniff.sniff_path(file))


class _Cost:
    """Wall clock, CPU time and memory of all child processes."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.peak_bytes = 0

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        started = time.monotonic()
        sampling = asyncio.create_task(self._sample())
        try:
            yield
        finally:
            sampling.cancel()
            self.wall_s = time.monotonic() - started

    async def _sample(self) -> None:
        """Add up the growth between two samples, because the usage of an ended program vanishes from the total."""
        before = usage_of(os.getpid()).cpu_s
        while True:
            await asyncio.sleep(_POLL_S)
            usage = usage_of(os.getpid())
            self.cpu_s += max(usage.cpu_s - before, 0.0)
            self.peak_bytes = max(self.peak_bytes, usage.resident_bytes - _resident_bytes())
            before = usage.cpu_s


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
