"""Command lines and paths for running our own programs in the sandbox: the bare interpreter, no virtual environment."""

import importlib.util
import os
import sys
from pathlib import Path

from converto_engines.runtime.sandbox import LAUNCHER


def argv(module: str, *, python: str | None = None) -> list[str]:
    """The command that runs `converto_engines.<module>`, isolated from the environment and from site-packages.

    `python` selects another interpreter, which keeps its own site-packages.
    """
    if python is not None:
        return [python, "-I", str(LAUNCHER), module]
    return [os.path.realpath(sys.executable), "-I", "-S", str(LAUNCHER), module]


def package_folders(*modules: str) -> tuple[Path, ...] | None:
    """The import folders of these installed modules without repeats; None when one of them is not installed."""
    found = [importlib.util.find_spec(module) for module in modules]
    if any(spec is None or not spec.origin for spec in found):
        return None
    origins = [Path(spec.origin) for spec in found if spec is not None and spec.origin]
    return tuple(dict.fromkeys(path.parent.parent if path.stem == "__init__" else path.parent for path in origins))


def readable_folders() -> tuple[Path, ...]:
    """The folders that the interpreter itself reads."""
    return (Path(sys.base_prefix),)
