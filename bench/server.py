"""Which server a benchmark talks to: environment variables first, then the `stack.json` of the laptop stack.

It starts nothing; a benchmark of a stack that has just been started would measure its start.
"""

import os
import sys
from pathlib import Path

import msgspec


class Server(msgspec.Struct, frozen=True):
    """Address and key of a running file service; `pids` only when it runs on this machine in the laptop stack."""

    url: str
    api_key: str
    pids: dict[str, int] = {}


def running_server() -> Server:
    """The server to measure; ends the process with advice when there is none, and warns when the machine is busy."""
    _warn_when_busy()
    url, api_key = os.environ.get("CONVERTO_SERVER_URL"), os.environ.get("CONVERTO_API_KEY")
    if url and api_key:
        return Server(url, api_key)
    state = _stack_file()
    if state is None:
        sys.exit("No running stack found. Start one with `make up`, or set CONVERTO_SERVER_URL and CONVERTO_API_KEY.")
    return msgspec.json.decode(state.read_bytes(), type=Server)


def _warn_when_busy() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(f"The machine is busy (load {load:.1f} on {cores} cores): the figures of this run say little.")


def _stack_file() -> Path | None:
    home = os.environ.get("CONVERTO_HOME")
    here = Path.cwd()
    folders = [Path(home)] if home else [folder / ".converto" for folder in (here, *here.parents)]
    return next((folder / "stack.json" for folder in folders if (folder / "stack.json").is_file()), None)
