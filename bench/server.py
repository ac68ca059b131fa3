"""Finds the server to measure: environment variables first, then the `stack.json` of the laptop stack.

It does not start a stack, because a benchmark of a stack that has just started would measure the start.
"""

import os
import sys
from pathlib import Path

import msgspec


class Server(msgspec.Struct, frozen=True):
    """Address and key of a running file service; `pids` only for the laptop stack on this machine."""

    url: str
    api_key: str
    pids: dict[str, int] = {}


def running_server() -> Server:
    """Return the server to measure. Exits with advice if there is none, and warns if the machine is busy."""
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
        print(f"The machine is busy (load {load:.1f} on {cores} cores); the figures of this run are not reliable.")


def _stack_file() -> Path | None:
    home = os.environ.get("CONVERTO_HOME")
    here = Path.cwd()
    folders = [Path(home)] if home else [folder / ".converto" for folder in (here, *here.parents)]
    return next((folder / "stack.json" for folder in folders if (folder / "stack.json").is_file()), None)
