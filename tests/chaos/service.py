"""A service under test as a process: started, restarted when it dies, killed, stopped."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.report.entries import Interruption
from tests.chaos.report.journal import RunJournal

AGAIN_AFTER_S = 0.2  # a service that dies at once must not use up a core
END_WITHIN_S = 15.0


class Service:
    """One process, restarted each time it dies."""

    def __init__(
        self, name: str, module: str, *, environment: Mapping[str, str], logs: Path, journal: RunJournal
    ) -> None:
        self.name, self._module, self._environment = name, module, dict(environment)
        self._log, self._journal = logs / f"{name}.log", journal
        self.starts = 0
        self._process: Process | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The pid of the current or the last process."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """True while a process runs."""
        return self._process is not None and self._process.returncode is None

    def start(self) -> None:
        """Start the process and keep it running."""
        self._running = asyncio.create_task(self._run(), name=self.name)

    def kill(self) -> None:
        """Kill the process with SIGKILL; it is restarted."""
        self._record_interruption()
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all threads of the process with SIGSTOP."""
        self._record_interruption()
        self.signal(signal.SIGSTOP)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def close(self) -> None:
        """Stop the process gracefully, with SIGKILL after a deadline."""
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

    def _record_interruption(self) -> None:
        if self.is_running:
            self._journal.append(Interruption(time.monotonic(), self.pid))

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
    """Stop all services concurrently."""
    await asyncio.gather(*(service.close() for service in services))
