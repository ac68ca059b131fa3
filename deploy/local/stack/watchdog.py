"""Stops the stack when the process that started it has ended, so that a killed `up` or test run leaves nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.5


def main() -> None:
    """`watchdog PID HOME`: wait until the process ends, then start a process outside the stack that stops it."""
    pid, home = int(sys.argv[1]), sys.argv[2]
    while is_alive(pid):
        time.sleep(LOOK_EVERY_S)
    environment = {name: value for name, value in os.environ.items() if name != "CONVERTO_STACK"}
    command = [sys.executable, "-m", "deploy.local", "down", "--home", home]
    folder = Path(__file__).resolve().parents[3]
    subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user, or a system without /proc
        return True


if __name__ == "__main__":
    main()
