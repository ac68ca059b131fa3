"""Programs that keep the cores of the machine busy on purpose."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BURN = "while True: pass"


@contextmanager
def burners(count: int) -> Iterator[None]:
    """Run so many programs, each of which wants a whole core, while the block runs."""
    running = [subprocess.Popen([sys.executable, "-I", "-S", "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
        for program in running:
            program.wait()
