"""Starts a broker, a database and an object store for one run, and the programs of both sides."""

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
    """Run the three servers on free ports, in a temporary folder."""
    home = Home(Path(tempfile.mkdtemp(prefix="converto-bench-")))
    stack = Stack(home, ports=Ports.free(), workers=1)
    try:
        await stack.start(SERVERS)
        yield stack
    finally:
        await stack.stop()
        shutil.rmtree(home.root, ignore_errors=True)


def environment_of(stack: Stack, database: str) -> dict[str, str]:
    """Return the environment of a program of either side: the same servers, and journaled writes for results."""
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
        "CONVERTO_STACK": str(stack.home.root),  # marks the process, so that nothing outlives the stack
    }


def started(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, stdout: int | IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a Python program of either side in its own process group; its output goes to the log."""
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
    """Terminate all processes, and kill those that do not end, with their children."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
