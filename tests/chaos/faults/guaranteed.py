"""The points of death of a worker that every run has to reach: each is armed until a worker has died there."""

import functools
import random
from collections.abc import Iterator, Sequence

from tests.chaos.faults.fault import Fault, crash_at
from tests.chaos.processes.crash_points import WORKER_POINTS
from tests.chaos.report.entries import Injected, Line, Verdict

SHARE_OF_THE_RUN = 0.85
"""In this share of the run the points are armed one after another; the rest is for those not reached at once."""
MORE_S = 30.0
"""So much longer than planned a run goes on for a point that was not reached."""
NAME = "worker: kill -9, {}"


def guaranteed_faults(seconds: float, seed: int) -> Iterator[tuple[float, Fault]]:
    """Yield when to arm which fault, in seconds from the start, in an order that the seed decides."""
    every_s = seconds * SHARE_OF_THE_RUN / len(WORKER_POINTS)
    for number, point in enumerate(random.Random(f"{seed}-points").sample(WORKER_POINTS, len(WORKER_POINTS))):
        armed_s = number * every_s
        within_s = seconds + MORE_S - armed_s
        yield armed_s, Fault(NAME.format(point), functools.partial(crash_at, point=point, within_s=within_s))


def missed_points(lines: Sequence[Line]) -> list[Verdict]:
    """Return a verdict for each point at which no worker has died."""
    reached = {line.name for line in lines if isinstance(line, Injected) and line.met}
    names = [NAME.format(point) for point in WORKER_POINTS]
    return [Verdict("point of death never reached", name) for name in names if name not in reached]
