"""Explores what may happen: one seed is one run of a cluster. A run that fails is shrunk to the steps that it needs."""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from tests.unit.model.checks.ending import ask_again, tidy_up
from tests.unit.model.cluster import Cluster
from tests.unit.model.steps import Step, Steps, random_step

STEPS = 30
MOST_TRIALS = 300  # while shrinking; each is one run


class Run(NamedTuple):
    """What one run did: what it has seen, why it failed, if it did, and a hash of all its changes."""

    seen: Counter[str]
    fault: str | None
    trace: str


class Failure(NamedTuple):
    """A seed that failed, with the fewest steps found that fail too."""

    seed: int
    fault: str
    steps: list[Step]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.fault}", "from these steps (tests.unit.model.explorer.run_steps):"]
        return "\n".join([*lines, *(f"    {step!r}," for step in self.steps)])


def steps_of(seed: int) -> list[Step]:
    """The steps of a seed; two conversions are there from the start."""
    chance = random.Random(seed)
    begin = [Step("submit", {"body": "some", "sent": "some", "api": number}) for number in range(2)]
    return [*begin, *(random_step(chance) for _ in range(STEPS))]


def run_steps(seed: int, steps: Sequence[Step]) -> Run:
    """Take the steps in a new cluster, then remove all faults and check that everything ends and is tidied up.

    The seed decides how calls overtake each other and all jitter.
    """
    cluster = Cluster(seed=seed)
    try:
        taking = Steps(cluster)
        for step in steps:
            taking.take(step)
        cluster.repair()
        ask_again(cluster)
        cluster.run_to_end()
        tidy_up(cluster)
    except Exception as error:
        return Run(cluster.model.seen, _first_line(error), cluster.model.trace.hexdigest())
    finally:
        cluster.close()
    return Run(cluster.model.seen, None, cluster.model.trace.hexdigest())


def explore(seed: int) -> Run:
    """Run a seed, without its logs."""
    with structlog.testing.capture_logs():
        return run_steps(seed, steps_of(seed))


def failure_of(seed: int) -> Failure | None:
    """Run a seed; return its failure with as few steps as can be found, None when it holds."""
    fault = explore(seed).fault
    if fault is None:
        return None
    with structlog.testing.capture_logs():
        steps = shrunk(steps_of(seed), lambda fewer: _kind(run_steps(seed, fewer).fault) == _kind(fault))
        return Failure(seed, run_steps(seed, steps).fault or fault, steps)


def shrunk(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Leave out whatever is not needed to fail: half of the steps, a quarter and so on down to single ones."""
    trials, size = MOST_TRIALS, len(steps) // 2
    while size >= 1:
        start, before = 0, len(steps)
        while start < len(steps) and trials > 0:
            fewer, trials = steps[:start] + steps[start + size :], trials - 1
            if fails(fewer):
                steps = fewer
            else:
                start += size
        if size > 1 or len(steps) == before:
            size //= 2
    return steps


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _kind(fault: str | None) -> str:
    """The fault without its ids and numbers."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|\d+", "", fault or "")
