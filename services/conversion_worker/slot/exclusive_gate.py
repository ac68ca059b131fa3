"""Who may work beside whom in one worker: ordinary jobs side by side, a suspect alone. It knows no conversion."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ExclusiveGate:
    """Places for jobs. A suspect waits until its neighbours are done, and nobody begins beside it.

    A file that takes its worker down would otherwise take innocent neighbours with it, again and again, until one of
    them is given up in its stead.
    """

    def __init__(self) -> None:
        """Empty."""
        self._working = 0
        self._open, self._deserted = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._deserted.set()

    @property
    def is_closed(self) -> bool:
        """True while a suspect runs or waits to run."""
        return not self._open.is_set()

    async def wait_until_open(self) -> None:
        """Return when ordinary jobs may begin."""
        while self.is_closed:  # another suspect may have come between the event and our turn
            await self._open.wait()

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """A place for an ordinary job, as soon as no suspect is there."""
        await self.wait_until_open()
        self._working += 1
        self._deserted.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._deserted.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """A place for a suspect, as soon as its neighbours are done. Nobody begins from now on."""
        await self.wait_until_open()
        self._open.clear()
        try:
            await self._deserted.wait()
            yield
        finally:
            self._open.set()
