"""Converts pairs by their default plans, each step once, and collects what is wrong with the results."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from converto_core.catalogue import Offer
from converto_core.conversion.record import Step
from converto_core.errors import ConversionError
from converto_engines import planner
from converto_engines.converter import Converter
from tests.conftest import skip_or_fail
from tests.engines.conftest import job_runner
from tests.engines.pairs.expectations import expectation
from tests.engines.pairs.pair import Fault, Pair, Result, Sample


class _Made(msgspec.Struct, frozen=True):
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


class Conversions:
    """The conversions of one test process. A step that several plans of a sample share runs once."""

    def __init__(self, converters: Sequence[Converter], offers: Sequence[Offer], folder: Path) -> None:
        """`folder` holds samples and results until the process ends."""
        self._converters = {converter.name: converter for converter in converters}
        self._offers, self._folder = offers, folder
        self._run_job = job_runner(folder)
        self._samples: dict[str, Path] = {}
        self._made: dict[tuple[str, tuple[Step, ...]], _Made] = {}

    async def faults(self, pair: Pair) -> list[str]:
        """Convert a pair; return what is wrong, each with pair and plan. Empty means that the result is right.

        Skips the test when the programs of this machine do not offer the pair; in CI it fails.
        """
        if pair.target not in planner.targets_of(pair.sample.format, self._offers):
            skip_or_fail(f"{pair.sample.format} to {pair.target} needs a program that is not installed")
        steps = planner.plan(pair.sample.format, pair.target, self._offers)
        plan = " → ".join((steps[0].source_format, *(f"{step.target_format} ({step.converter})" for step in steps)))
        return [f"{pair.sample.name} to {pair.target} by {plan}: {fault}" for fault in await self._seen(pair, steps)]

    async def _seen(self, pair: Pair, steps: Sequence[Step]) -> list[str]:
        expected = expectation(pair)
        try:
            result = await self._result(pair, steps)
            if expected.needs:
                result = result._replace(beside=await self._beside(pair.sample, expected.needs))
            found = list(expected.check(result))
        except Fault as error:
            return [f"wrong: {error}"]
        except ConversionError as error:
            return [] if error.stable_code == expected.refusal else [f"{error.stable_code}: {error}"]
        untold = [word for word in expected.told if word not in result.told]
        return [*found, *(f"the loss is not told: no {word!r} in {result.told!r}" for word in untold)]

    async def _beside(self, sample: Sample, target: str) -> Path:
        """The same sample in another format; the sample itself if it has that format."""
        if sample.format == target:
            return self._sample(sample)
        return (await self._result(Pair(sample, target), planner.plan(sample.format, target, self._offers))).path

    async def _result(self, pair: Pair, steps: Sequence[Step]) -> Result:
        path, notes = self._sample(pair.sample), list[str]()
        for count in range(1, len(steps) + 1):
            made = await self._step(pair.sample, path, tuple(steps[:count]))
            path = made.paths[0]
            notes += made.notes
        told = "; ".join((*planner.losses_of(steps, self._offers), *notes)).lower()
        plan = " → ".join(step.target_format for step in steps)
        return Result(pair, self._sample(pair.sample), made.paths, plan, told)

    async def _step(self, sample: Sample, source: Path, steps: tuple[Step, ...]) -> _Made:
        key = sample.name, steps
        if key not in self._made:
            step, notes = steps[-1], list[str]()
            products = await self._run_job(
                self._converters[step.converter], source, step.source_format, step.target_format, note=notes.append
            )
            self._made[key] = _Made(tuple(product.path for product in products), tuple(notes))
        return self._made[key]

    def _sample(self, sample: Sample) -> Path:
        if sample.name not in self._samples:
            path = self._folder / f"{sample.name}.{sample.format}"
            sample.make(path)
            self._samples[sample.name] = path
        return self._samples[sample.name]
