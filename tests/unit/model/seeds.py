"""Explores many seeds on all cores."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from tests.unit.model.explorer import Failure, Run, explore, failure_of

CHUNK = 10  # seeds that a process takes at a time


class Explorer:
    """Processes that explore seeds."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def runs(self, seeds: Sequence[int]) -> Iterator[tuple[int, Run]]:
        """Yield each seed with its run, as they end."""
        chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
        for ended in as_completed([self._pool.submit(_explore_all, chunk) for chunk in chunks]):
            yield from ended.result()

    def failures(self, seeds: Sequence[int]) -> Iterator[Failure]:
        """Run these seeds again and shrink what fails."""
        yield from (failure for failure in self._pool.map(failure_of, seeds) if failure is not None)


@contextmanager
def explorer(jobs: int | None = None) -> Iterator[Explorer]:
    """Start so many processes, by default one per core.

    Text has the same hash in all of them and in each run, because some sets of ids are read in the order of hashes.
    """
    os.environ["PYTHONHASHSEED"] = "0"
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Explorer(pool)


def _explore_all(seeds: Sequence[int]) -> list[tuple[int, Run]]:
    return [(seed, explore(seed)) for seed in seeds]
