"""Runs a module of a `sandboxed/` package: `launch.py MODULE ARGUMENT…`, MODULE relative to `converto_engines`.

It works without site-packages and with the system's Python. The package is registered by hand, because the sandbox may
not let Python list its parent folder. Every import costs milliseconds per job, so there are few.
"""

import importlib
import os
import sys

PACKAGE = "converto_engines"


def main() -> None:
    """Import the module and call its `main`, which reads its arguments from `sys.argv`."""
    folder = os.path.abspath(__file__)  # noqa: PTH100 -- pathlib is slow to import
    for _ in range(3):
        folder = os.path.dirname(folder)  # noqa: PTH120 -- as above
    package = type(sys)(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    importlib.import_module(f"{PACKAGE}.{sys.argv.pop(1)}").main()


if __name__ == "__main__":
    main()
