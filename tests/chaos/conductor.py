"""The services under test as processes of their own: started, started again when they die, killed, stopped.

It knows how to treat processes, not what they do.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

AGAIN_AFTER_S = 0.2  # a service that dies at once must not eat a core
END_WITHIN_S = 15.0


class Blow(msgspec.Struct, frozen=True):
    """A process that was killed or stopped by us: from `at_s` on it does nothing."""

    at_s: float
    pid: int


class Service:
    """One process, and the next one after it died."""

    def __init__(self, name: str, module: str, *, environment: Mapping[str, str], log: Path) -> None:
        self.name, self._module, self._environment, self._log = name, module, dict(environment), log
        self.blows: list[Blow] = []
        self.starts = 0
        self._process: Process | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Whether a process is there at this moment."""
        return self._process is not None and self._process.returncode is None

    def start(self) -> None:
        """Run it from now on."""
        self._running = asyncio.create_task(self._run(), name=self.name)

    def kill(self) -> None:
        """kill -9; it is started again."""
        self._note_blow()
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all of its threads in the middle of whatever they do."""
        self._note_blow()
        self.signal(signal.SIGSTOP)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def close(self) -> None:
        """Stop it in good order, at last by force."""
        if self._running is None:
            return
        self._running.cancel()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                async with asyncio.timeout(END_WITHIN_S):
                    await self._process.wait()
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self._process.wait()

    def _note_blow(self) -> None:
        if self.is_running:
            self.blows.append(Blow(time.monotonic(), self.pid))

    async def _run(self) -> None:
        while True:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    self._module,
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.starts += 1
            await self._process.wait()
            await asyncio.sleep(AGAIN_AFTER_S)


async def close_all(services: Sequence[Service]) -> None:
    """Stop them side by side."""
    await asyncio.gather(*(service.close() for service in services))
