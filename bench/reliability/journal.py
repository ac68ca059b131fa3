"""Records what really happened, in one file that no fault touches.

Every process appends whole short lines (`<word> <id>`), which the kernel does not interleave.
"""

import os
from collections import Counter
from pathlib import Path

ATTEMPTED, ACCEPTED, RUN, EFFECT = "attempted", "accepted", "run", "effect"


def note(word: str, job_id: str) -> None:
    """Append one line to the file that `BENCH_JOURNAL` names."""
    journal = os.open(os.environ["BENCH_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, f"{word} {job_id}\n".encode())
    finally:
        os.close(journal)


def read(path: Path) -> dict[str, Counter[str]]:
    """Return how often each word was recorded for each id."""
    counts: dict[str, Counter[str]] = {word: Counter() for word in (ATTEMPTED, ACCEPTED, RUN, EFFECT)}
    for line in path.read_text(encoding="ascii").splitlines():
        word, job_id = line.split()
        counts[word][job_id] += 1
    return counts
