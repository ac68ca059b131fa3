"""How to start our own programs inside the sandbox: the interpreter itself, without the virtual environment around it.

It starts nothing; `process.py` does.
"""

import os
import sys
from pathlib import Path

from converto_engines.sandbox import INSIDE


def program(name: str, *, with_site: bool = False) -> list[str]:
    """The first arguments that run `inside/<name>`: isolated, and without site-packages unless asked for."""
    flags = ["-I"] if with_site else ["-I", "-S"]
    return [os.path.realpath(sys.executable), *flags, str(INSIDE / name)]


def readable_folders() -> tuple[Path, ...]:
    """What the interpreter itself needs to see inside the sandbox."""
    return (Path(sys.base_prefix),)
