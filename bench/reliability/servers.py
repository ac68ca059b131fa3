"""A broker, a database and an object store for one run, and the programs of both sides. It measures nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from deploy.local.home import REPOSITORY, Home
from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import SERVERS, Stack

END_WITHIN_S = 15


@asynccontextmanager
async def running_servers() -> AsyncIterator[Stack]:
    """The three servers on free ports, in a folder that goes afterwards."""
    home = Home(Path(tempfile.mkdtemp(prefix="converto-bench-")))
    stack = Stack(home, ports=Ports.free(), workers=1)
    try:
        await stack.start(SERVERS)
        yield stack
    finally:
        await stack.stop()
        shutil.rmtree(home.root, ignore_errors=True)


def environment_of(stack: Stack, database: str) -> dict[str, str]:
    """What a program of either side gets: the same servers, and results that are on disk before they are answered."""
    settings = stack.environment
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **known,
        **settings,
        "CONVERTO_MONGODB_DATABASE": database,
        "PEER_BROKER_URL": settings["CONVERTO_RABBITMQ_URL"],
        "PEER_RESULT_URL": f"{settings['CONVERTO_MONGODB_URL']}/{database}_peer?w=majority&journal=true",
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / folder) for folder in ("", "libs", "services")),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CONVERTO_STACK": str(stack.home.root),  # so that nothing outlives the stack, whatever happens here
    }


def started(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, stdout: int | IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """A Python program of either side, in a process group of its own; what it says goes to the log."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(environment),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stdout=stdout or stream,
            stderr=stream,
            start_new_session=True,
        )


def end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Ask all to end, and kill with their children those that do not."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
