"""Runs a module of a `sandboxed/` package: `launch.py MODULE ARGUMENT…`, MODULE relative to `converto_engines`.

It works without site-packages and with the system's Python. The package is registered by hand, because the sandbox may
not let Python list its parent folder. Every import costs milliseconds per job, so there are few. What cannot be
imported is answered as missing: it is not installed, unlike a program that fails for any other reason.
"""

import importlib
import os
import sys

PACKAGE = "converto_engines"
EXIT_NOT_INSTALLED = 69  # EX_UNAVAILABLE of sysexits.h


def main() -> None:
    """Import the module and call its `main`, which reads its arguments from `sys.argv`."""
    folder = os.path.abspath(__file__)  # noqa: PTH100 -- pathlib is slow to import
    for _ in range(3):
        folder = os.path.dirname(folder)  # noqa: PTH120 -- as above
    package = type(sys)(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    name = sys.argv.pop(1)
    try:
        importlib.import_module(f"{PACKAGE}.{name}").main()
    except ImportError as error:
        _answer_missing(repr(error))


def _answer_missing(detail: str) -> None:
    """Answer as `protocol` does; not by its functions, because whatever could not be imported may be among them."""
    import json  # noqa: PLC0415 -- only here, because every import costs time

    sys.stdout.write(json.dumps({"refused": "missing", "message": "", "detail": detail[-2000:]}) + "\n")
    sys.stdout.flush()
    sys.exit(EXIT_NOT_INSTALLED)


if __name__ == "__main__":
    main()
