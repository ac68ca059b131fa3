"""Ordinary jobs of a worker run side by side; a quarantined conversion runs alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ExclusiveGate:
    """A shared/exclusive lock in which a waiting exclusive job keeps new shared jobs out.

    A file that kills its worker would otherwise take the jobs beside it down again and again, until one of those is
    given up in its place.
    """

    def __init__(self) -> None:
        self._shared_jobs = 0
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()

    @property
    def is_closed(self) -> bool:
        """True while an exclusive job runs or waits to run."""
        return not self._open.is_set()

    async def wait_until_open(self) -> None:
        """Return when shared jobs may start."""
        while self.is_closed:  # another exclusive job may have closed it between the event and our turn
            await self._open.wait()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Run beside other shared jobs, once no exclusive job runs or waits."""
        await self.wait_until_open()
        self._shared_jobs += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._shared_jobs -= 1
            if not self._shared_jobs:
                self._idle.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Close the gate to new jobs, wait for the running ones to end, then run alone."""
        await self.wait_until_open()
        self._open.clear()
        try:
            await self._idle.wait()
            yield
        finally:
            self._open.set()
