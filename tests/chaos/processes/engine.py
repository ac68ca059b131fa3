"""The program that the chaos converter runs in the sandbox: `engine.py SOURCE OUTPUT`. The source says what it does.

Standard library only: it runs isolated, as an engine does.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

FOREVER_S = 3600
FLOOD_LINES = 200_000
GREEDY_BYTES = 400 * 1024**2


def crash() -> None:
    """Die by a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Never end."""
    time.sleep(FOREVER_S)


def stubborn() -> None:
    """Never end, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(FOREVER_S)


def daemon() -> None:
    """Leave a process behind that holds the output pipes open, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(FOREVER_S)


def flood() -> None:
    """Write far too much output."""
    for number in range(FLOOD_LINES):
        sys.stdout.write(f"line {number} of too many\n")


def greedy() -> None:
    """Allocate far more memory than is allowed."""
    memory = bytearray(GREEDY_BYTES)
    memory[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(memory[:: os.sysconf("SC_PAGE_SIZE")])
    time.sleep(FOREVER_S)


BEHAVIOURS = {each.__name__: each for each in (crash, hang, stubborn, daemon, flood, greedy)}


def main(source: str, output: str) -> None:
    """Do what the source says, then write the result."""
    content = Path(source).read_bytes()
    orders = dict(line.split("=", 1) for line in content.decode().splitlines() if "=" in line)
    time.sleep(int(orders["takes_ms"]) / 1000)
    BEHAVIOURS.get(orders["kind"], lambda: None)()
    result = {"sha256": hashlib.sha256(content).hexdigest(), "text": content.decode()}
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
