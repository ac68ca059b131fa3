"""The memory of each process through a soak: flat, when its last quarter needs as much as its second one."""

import asyncio
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.chaos.report.entries import Line, Memory, Verdict
from tests.chaos.report.journal import RunJournal

SAMPLE_S = 5.0
MOST_CHANGE = 0.10
LEAST_SAMPLES = 8
MIB = 1024**2


async def sample(journal: RunJournal, pids: Callable[[], Mapping[str, int]]) -> None:
    """Write the resident memory of each process by name into the journal, until cancelled."""
    while True:
        for name, pid in (await asyncio.to_thread(pids)).items():
            if rss_bytes := resident_bytes(pid):
                journal.append(Memory(time.monotonic(), name, pid, rss_bytes))
        await asyncio.sleep(SAMPLE_S)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def memory_verdicts(lines: Sequence[Line]) -> list[Verdict]:
    """Return a verdict for each process that did not stay flat, restarted, or was not seen often enough."""
    return [Verdict("memory", f"{name}: {why}") for name, samples in _by_name(lines) for why in _faults(samples)]


def memory_figures(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the medians of each process as text."""
    for name, samples in _by_name(lines):
        if len(samples) >= LEAST_SAMPLES:
            second, last = _medians(samples)
            yield f"memory of {name}: second quarter {second / MIB:.1f} MiB, last quarter {last / MIB:.1f} MiB"


def _faults(samples: Sequence[Memory]) -> Iterator[str]:
    if len(samples) < LEAST_SAMPLES:
        yield f"only {len(samples)} samples, too few to judge"
        return
    if len({one.pid for one in samples}) > 1:
        yield "it was restarted, so its memory was not seen to stay flat"
    second, last = _medians(samples)
    change = last / second - 1
    if abs(change) > MOST_CHANGE:
        yield f"{change:+.0%} from the second quarter ({second / MIB:.1f} MiB) to the last ({last / MIB:.1f} MiB)"


def _medians(samples: Sequence[Memory]) -> tuple[float, float]:
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return statistics.median(one.rss_bytes for one in second), statistics.median(one.rss_bytes for one in last)


def _by_name(lines: Sequence[Line]) -> list[tuple[str, list[Memory]]]:
    found: dict[str, list[Memory]] = defaultdict(list)
    for line in lines:
        if isinstance(line, Memory):
            found[line.name].append(line)
    return sorted(found.items())
