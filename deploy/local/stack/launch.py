"""Executes one program of the stack: `launch.py PROGRAMS NAME`. Standard library only, so it takes some 20 ms.

The programs' environments hold secrets and values that an ini file cannot quote, so they come from a private JSON file
and not from the supervisor's configuration.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Delete the program's stale files and replace this process with it."""
    programs, name = sys.argv[1:3]
    program = json.loads(Path(programs).read_bytes())[name]
    for stale in program["stale_files"]:
        Path(stale).unlink(missing_ok=True)
    os.chdir(program["folder"])
    os.execve(program["argv"][0], program["argv"], program["environment"])


if __name__ == "__main__":
    main()
