"""What really happened, line by line in one file that no fault touches. It judges nothing.

Every process appends whole short lines, which the kernel does not mix: `<word> <id>`.
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
    """How often each word was said of each id."""
    said: dict[str, Counter[str]] = {word: Counter() for word in (ATTEMPTED, ACCEPTED, RUN, EFFECT)}
    for line in path.read_text(encoding="ascii").splitlines():
        word, job_id = line.split()
        said[word][job_id] += 1
    return said
