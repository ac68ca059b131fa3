"""How to start our own programs inside the sandbox: the interpreter itself, without the virtual environment around it.

It starts nothing; `process.py` does.
"""

import os
import sys
from pathlib import Path

from converto_engines.sandbox import INSIDE


def program(name: str) -> list[str]:
    """The first arguments that run `inside/<name>`: isolated from the environment and from site-packages."""
    return [os.path.realpath(sys.executable), "-I", "-S", str(INSIDE / name)]


def readable_folders() -> tuple[Path, ...]:
    """What the interpreter itself needs to see inside the sandbox."""
    return (Path(sys.base_prefix),)
