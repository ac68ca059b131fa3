"""What can be converted: offers that workers publish and the file service plans over. It knows no program."""

from typing import Any

import msgspec

from converto_core.formats import Family


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a conversion does not keep, in a person's words; for these formats only where some are named."""

    text: str
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def concerns(self, source: str, target: str) -> bool:
        """Whether a step from this format to that one has it."""
        return source in (self.sources or (source,)) and target in (self.targets or (target,))


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One converter as a worker has it installed: every source format to every target format with these options.

    `options_schema` is the JSON Schema (2020-12) of the options this converter understands. `loss` (0 keeps everything,
    1 keeps little) and `seconds` (typical run) are the planner's cost. `joins`: it appends further files of the same
    format to the first.
    """

    converter: str
    engine: str
    engine_version: str
    family: Family
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    options_schema: dict[str, Any]
    loss: float = 0.0
    seconds: float = 1.0
    is_paged: bool = False
    losses: tuple[Loss, ...] = ()
    joins: bool = False


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion that a worker runs at this moment (behaviour M15)."""

    conversion_id: str
    started_at: int
    pid: int | None = None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process: what it offers, what it runs, and when it was last heard of (ms since the epoch, UTC)."""

    id: str
    host: str
    pid: int
    started_at: int
    seen_at: int
    slots: int
    sandbox: str
    offers: tuple[Offer, ...] = ()
    running: tuple[Slot, ...] = ()
    is_stopping: bool = False
