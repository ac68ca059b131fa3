"""What can be converted: the offers that workers publish and the file service plans with."""

from collections.abc import Iterable
from typing import Any

import msgspec

from converto_core.formats import Family


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a conversion does not preserve, in words for users; limited to the named formats, if any."""

    text: str
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def concerns(self, source: str, target: str) -> bool:
        """True when a step from `source` to `target` has this loss."""
        return source in (self.sources or (source,)) and target in (self.targets or (target,))


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A converter installed on a worker: it converts every source format to every target format.

    `options_schema` is the JSON Schema (2020-12) of its options. `loss` (0 keeps everything, 1 keeps little) and
    `seconds` (typical run time) are costs for the planner. `joins` means that it can append further files of the same
    format to the first. `titled_sources` are the source formats whose results contain the name of the user's file,
    `password_sources` those that it opens with a password.
    `engine_version` is empty while the program has not answered yet.
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
    titled_sources: tuple[str, ...] = ()
    password_sources: tuple[str, ...] = ()


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker is running now (behaviour M15)."""

    conversion_id: str
    started_at: int
    pid: int | None = None


class NotAnswering(msgspec.Struct, frozen=True, kw_only=True):
    """A converter whose program is installed but has not answered yet; the worker asks it again.

    `offer` is what it would offer, without a version. `since` is ms since the epoch, `error` why the last question
    failed.
    """

    offer: Offer
    since: int
    error: str


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process: its offers, its running jobs and its last report (`seen_at`, ms since the epoch, UTC).

    `not_installed` names the engines that this worker could use and does not have.
    """

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
    not_answering: tuple[NotAnswering, ...] = ()
    not_installed: tuple[str, ...] = ()

    @property
    def installed_converters(self) -> set[str]:
        """The converters whose program is installed, also if it does not answer yet."""
        return {offer.converter for offer in (*self.offers, *(entry.offer for entry in self.not_answering))}

    def adds_nothing_to(self, others: Iterable["Worker"]) -> bool:
        """True when the others offer all that this one offers, and at least know what does not answer here."""
        others = tuple(others)
        offered = {offer.converter for other in others for offer in other.offers}
        known = {converter for other in others for converter in other.installed_converters}
        own_unanswered = {entry.offer.converter for entry in self.not_answering}
        return {offer.converter for offer in self.offers} <= offered and own_unanswered <= known
