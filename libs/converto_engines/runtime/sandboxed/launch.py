"""Starts a program from one of the `sandboxed/` packages: `launch.py MODULE ARGUMENT…`.

MODULE is relative to `converto_engines`.
It runs under any Python without site-packages, the system's included. The package is put in place by hand, because a
sandbox may not let Python list the folder that holds it. Imports take milliseconds of every job, so they stay few.
"""

import importlib
import os
import sys

PACKAGE = "converto_engines"


def main() -> None:
    """Import the program and call its `main`, which finds its own arguments in `sys.argv`."""
    folder = os.path.abspath(__file__)  # noqa: PTH100 -- pathlib costs time
    for _ in range(3):
        folder = os.path.dirname(folder)  # noqa: PTH120 -- as above
    package = type(sys)(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    importlib.import_module(f"{PACKAGE}.{sys.argv.pop(1)}").main()


if __name__ == "__main__":
    main()
