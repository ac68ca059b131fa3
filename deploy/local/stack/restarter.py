"""Starts programs again that supervisord has given up, for ever: slow is not absent.

supervisord tries a program that ends at once a few times, each time after a longer pause, and then never again. A
database that is away for minutes would end a service for good. This process hears of each program that is given up,
and looks every five seconds as well. supervisord then begins with its shortest pause again, so the pauses stay short.
"""

import contextlib
import sys
import xmlrpc.client
from collections.abc import Collection
from pathlib import Path

from deploy.local.errors import SupervisorGone
from deploy.local.home import Home
from deploy.local.stack.supervisor import Supervisor


def main() -> None:
    """`restarter HOME NAME…`: an event listener of supervisord, which ends with it."""
    supervisor, names = Supervisor(Home(Path(sys.argv[1]))), sys.argv[2:]
    with contextlib.suppress(SupervisorGone):
        while True:
            start_given_up(supervisor, names)
            say("READY\n")
            line = sys.stdin.readline()
            if not line:
                return
            length = dict(pair.split(":", 1) for pair in line.split())["len"]
            sys.stdin.read(int(length))
            say("RESULT 2\nOK")


def say(words: str) -> None:
    """Answer supervisord in the protocol of its event listeners."""
    print(words, end="", flush=True)


def start_given_up(supervisor: Supervisor, names: Collection[str]) -> None:
    """Start those of these programs that supervisord does not try any more."""
    for name, process in supervisor.processes().items():
        if name in names and process.is_given_up:
            with contextlib.suppress(xmlrpc.client.Fault):  # it was stopped meanwhile, or its file is missing for now
                supervisor.start_program(name)


if __name__ == "__main__":
    main()
