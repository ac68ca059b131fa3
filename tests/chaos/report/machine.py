"""How busy the machine was with other programs than the run, and programs that keep it busy on purpose."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.stack.orphans import find_orphans
from tests.burners import burners
from tests.chaos.report.entries import Line, Load
from tests.chaos.report.journal import RunJournal

QUIET_SHARE = 0.25
"""The share of all cores that other programs may take on a quiet machine."""
SAMPLE_S, FIRST_SAMPLE_S = 5.0, 1.0


def foreign_shares(lines: Sequence[Line]) -> list[float]:
    """Return the measured shares; the first one is from before the run."""
    return [line.foreign_share for line in lines if isinstance(line, Load)]


async def measure_before(journal: RunJournal) -> None:
    """Measure before anything of the run has started: everything that is busy is foreign."""
    busy, total = _machine_ticks()
    await asyncio.sleep(FIRST_SAMPLE_S)
    later_busy, later_total = _machine_ticks()
    share = (later_busy - busy) / max(later_total - total, 1)
    journal.append(Load(time.monotonic(), share, os.getloadavg()[0], os.cpu_count() or 1))


async def measure(journal: RunJournal, root: Path) -> None:
    """Measure every few seconds until cancelled."""
    before, own_before = _machine_ticks(), await asyncio.to_thread(_own_ticks, root)
    while True:
        await asyncio.sleep(SAMPLE_S)
        now, own = _machine_ticks(), await asyncio.to_thread(_own_ticks, root)
        ours = sum(max(ticks - own_before.get(pid, 0), 0) for pid, ticks in own.items())
        share = max(now[0] - before[0] - ours, 0) / max(now[1] - before[1], 1)
        journal.append(Load(time.monotonic(), share, os.getloadavg()[0], os.cpu_count() or 1))
        before, own_before = now, own


@contextmanager
def loaded(times_cores: int) -> Iterator[None]:
    """Keep the machine busy with so many programs per core while the block runs."""
    with burners(times_cores * (os.cpu_count() or 1)):
        yield


def _machine_ticks() -> tuple[int, int]:
    """Return the busy and all ticks of all cores so far."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _own_ticks(root: Path) -> dict[int, int]:
    """Return the ticks of this process and of all programs of the run, with children that have ended."""
    own = os.getpid()  # its ended children are services, which were counted while they ran
    return {own: _ticks_of(own, children=False)} | {pid: _ticks_of(pid) for pid in find_orphans(root)}


def _ticks_of(pid: int, *, children: bool = True) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0
    return sum(int(fields[number]) for number in ((11, 12, 13, 14) if children else (11, 12)))
