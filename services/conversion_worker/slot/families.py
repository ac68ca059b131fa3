"""The families whose messages a worker takes; they grow while it runs, when a slow program answers at last."""

import asyncio
from collections.abc import Iterable

import msgspec

from converto_core.formats import Family


class Snapshot(msgspec.Struct, frozen=True):
    """The families at one moment; `outdated` is set when they have changed."""

    families: tuple[Family, ...]
    outdated: asyncio.Event


class TakenFamilies:
    """Families that the slots consume from."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._now = Snapshot(tuple(families), asyncio.Event())

    @property
    def now(self) -> Snapshot:
        """The families to consume from, until `outdated` is set."""
        return self._now

    def replace(self, families: Iterable[Family]) -> bool:
        """Take these families from now on; return whether they differ. Running conversions go on."""
        before, after = self._now, tuple(families)
        if before.families == after:
            return False
        self._now = Snapshot(after, asyncio.Event())
        before.outdated.set()
        return True
