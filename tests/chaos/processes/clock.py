"""A wall clock that a fault can put forward or back while a service runs: the clock of its machine was set.

The step is a number of seconds in a file. Only the clock that dates records is changed; signatures of requests and
deadlines use other clocks of the system.
"""

import os
import time
from pathlib import Path

NAME = "clock-step"


def step_file(folder: Path) -> Path:
    """Return the file that holds the step in seconds."""
    return folder / NAME


def follow_steps() -> None:
    """Add the step in the folder `CHAOS_FOLDER` to the wall clock of this process from now on."""
    path, right_ns = step_file(Path(os.environ["CHAOS_FOLDER"])), time.time_ns

    def stepped_ns() -> int:
        try:
            return right_ns() + int(float(path.read_text()) * 1e9)
        except (OSError, ValueError):  # no step, or one that is just being written
            return right_ns()

    time.time_ns = stepped_ns
    time.time = lambda: stepped_ns() / 1e9
