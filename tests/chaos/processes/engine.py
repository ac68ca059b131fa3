"""The program that the chaos converter runs in the sandbox: `engine.py SOURCE OUTPUT`. The source says what it does.

Stdlib only: it runs isolated, as an engine does, and sees nothing of ours.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

FOR_EVER_S = 3600
FLOOD_LINES = 200_000
GREEDY_BYTES = 400 * 1024**2


def crash() -> None:
    """Die of a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Never end."""
    time.sleep(FOR_EVER_S)


def stubborn() -> None:
    """Never end, and ignore a polite request to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(FOR_EVER_S)


def daemon() -> None:
    """Leave a process behind that holds the output pipes open, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(FOR_EVER_S)


def flood() -> None:
    """Say more than anybody wants to hear."""
    for number in range(FLOOD_LINES):
        sys.stdout.write(f"line {number} of far too many\n")


def greedy() -> None:
    """Take far more memory than is allowed."""
    hoard = bytearray(GREEDY_BYTES)
    hoard[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(hoard[:: os.sysconf("SC_PAGE_SIZE")])
    time.sleep(FOR_EVER_S)


BEHAVIOURS = {each.__name__: each for each in (crash, hang, stubborn, daemon, flood, greedy)}


def main(source: str, output: str) -> None:
    """Do what the source says, then write the result."""
    content = Path(source).read_bytes()
    wishes = dict(line.split("=", 1) for line in content.decode().splitlines() if "=" in line)
    time.sleep(int(wishes["takes_ms"]) / 1000)
    BEHAVIOURS.get(wishes["kind"], lambda: None)()
    result = {"sha256": hashlib.sha256(content).hexdigest(), "text": content.decode()}
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
