"""How to start our own programs inside the sandbox: the interpreter itself, without the virtual environment around it.

It starts nothing; `process.py` does.
"""

import importlib.util
import os
import sys
from pathlib import Path

from converto_engines.runtime.sandbox import LAUNCHER


def program(module: str, *, python: str | None = None) -> list[str]:
    """The arguments that run `converto_engines.<module>`, isolated from the environment and from site-packages.

    `python` is another interpreter than ours; it keeps its own site-packages.
    """
    if python is not None:
        return [python, "-I", str(LAUNCHER), module]
    return [os.path.realpath(sys.executable), "-I", "-S", str(LAUNCHER), module]


def packages_with(*modules: str) -> tuple[Path, ...] | None:
    """The folders of installed packages that hold these modules, each once; None when one is not installed."""
    found = [importlib.util.find_spec(module) for module in modules]
    if any(spec is None or not spec.origin for spec in found):
        return None
    origins = [Path(spec.origin) for spec in found if spec is not None and spec.origin]
    return tuple(dict.fromkeys(path.parent.parent if path.stem == "__init__" else path.parent for path in origins))


def readable_folders() -> tuple[Path, ...]:
    """What the interpreter itself needs to see inside the sandbox."""
    return (Path(sys.base_prefix),)
