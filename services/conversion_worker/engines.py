"""What this worker can convert: each program is asked which version it is until it answers or proves to be missing.

A program that does not answer is not missing: on a loaded machine it is only slow. The worker starts with what answered
and asks the others again, as long as it runs.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from conversion_worker.slot.families import TakenFamilies
from converto_core.catalogue import NotAnswering, Offer
from converto_core.errors import ConvertoError, EngineNotAnswering
from converto_core.formats import Family
from converto_engines.converter import Converter, ask, offer_of
from converto_infra.clock import Clock
from converto_infra.concurrency import side_by_side
from converto_infra.retry import Backoff

FIRST_LOOK_S = 15.0  # an idle machine answers everything in five; the worker starts without the rest
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0  # short enough that all formats are there a minute after a load has ended

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CannotWork(ConvertoError):
    """Raised when this worker could never run a conversion; the message says what to install or to set."""

    code = "worker_cannot_work"


class InstalledEngines(msgspec.Struct, frozen=True):
    """What is known at one moment, for the record of the worker."""

    offers: tuple[Offer, ...] = ()
    not_answering: tuple[NotAnswering, ...] = ()
    not_installed: tuple[str, ...] = ()


class EngineQuestions:
    """Asks the program of each converter; `offers` and `not_answering` are by converter and change as answers come."""

    def __init__(
        self,
        converters: Sequence[Converter],
        wanted: Sequence[Family],
        *,
        clock: Clock,
        stopping: asyncio.Event,
    ) -> None:
        """`wanted` are the families to take if their programs are installed."""
        self.offers: dict[str, Offer] = {}
        self.not_answering = {one.name: _not_asked(one, clock.now_ms()) for one in converters}
        self.families = TakenFamilies()
        self._converters, self._wanted = converters, wanted
        self._clock, self._stopping = clock, stopping
        self._all_answered = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each change of what is known."""
        self._watchers.append(on_change)

    async def first_look(self, within_s: float = FIRST_LOOK_S) -> None:
        """Return when every program has answered, or when it is time to start without the rest."""
        if await self._clock.wait(self._all_answered, within_s):
            self._require_any()
        log.info("worker.engines", answered=sorted(self.offers), not_answering=sorted(self.not_answering))

    async def run(self) -> None:
        """Ask until all have answered or the worker stops; raise `CannotWork` when nothing wanted is installed."""
        async with side_by_side() as tasks:
            for converter in self._converters:
                tasks.create_task(self._ask_until_answered(converter), name=f"version of {converter.name}")

    def installed(self) -> InstalledEngines:
        """Return what the worker's record shows: messages of other families would find no consumer here."""
        known = {*self.offers, *self.not_answering}
        have = {one.engine for one in self._converters if one.name in known}
        return InstalledEngines(
            offers=tuple(
                self.offers[one.name]
                for one in self._converters
                if one.name in self.offers and one.family in self._wanted
            ),
            not_answering=tuple(
                self.not_answering[one.name]
                for one in self._converters
                if one.name in self.not_answering and one.family in self._wanted
            ),
            not_installed=tuple(sorted({one.engine for one in self._converters if one.family in self._wanted} - have)),
        )

    async def _ask_until_answered(self, converter: Converter) -> None:
        backoff = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, clock=self._clock, stop=self._stopping)
        while not self._stopping.is_set():
            try:
                offer = await ask(converter)
            except EngineNotAnswering as error:
                self._note_silence(converter, error, backoff.failures + 1)
                await backoff.pause()
                continue
            self._note_answer(converter, offer)
            return

    def _note_silence(self, converter: Converter, error: EngineNotAnswering, failures: int) -> None:
        log.warning(
            "engine.not_answering",
            converter=converter.name,
            engine=converter.engine,
            failures=failures,
            reason=error.public_message,
            detail=error.detail,
        )
        before = self.not_answering[converter.name]
        # The offer is built anew, because a converter learns with each question what its program can do.
        self.not_answering[converter.name] = NotAnswering(
            offer=offer_of(converter), since=before.since, error=error.public_message
        )
        self._report_change()

    def _note_answer(self, converter: Converter, offer: Offer | None) -> None:
        silence = self.not_answering.pop(converter.name)
        if offer is not None:
            self.offers[converter.name] = offer
            waited_s = (self._clock.now_ms() - silence.since) / 1000
            log.info("engine.answered", converter=converter.name, version=offer.engine_version, waited_s=waited_s)
        self._take_families()
        self._report_change()
        if not self.not_answering:
            self._all_answered.set()
            self._require_any()

    def _take_families(self) -> None:
        answered = {offer.family for offer in self.offers.values()}
        if self.families.replace(family for family in self._wanted if family in answered):
            log.info("worker.takes", families=list(self.families.now.families))

    def _require_any(self) -> None:
        if not self.families.now.families:
            raise CannotWork(
                f"No conversion program is installed for {_words(self._wanted)}. Install LibreOffice with python3-uno "
                "(office), libvips (images, PDF), ffmpeg (video, audio) or assimp (model), or change CONVERTO_FAMILIES"
            )

    def _report_change(self) -> None:
        for on_change in self._watchers:
            on_change()


def wanted_families(names: Sequence[str]) -> tuple[Family, ...]:
    """Return the families that a setting names, all when it names none; raise `CannotWork` for an unknown one."""
    wanted = {name.lower() for name in names}
    if unknown := wanted - set(Family):
        raise CannotWork(
            f"CONVERTO_FAMILIES names unknown families: {', '.join(sorted(unknown))}. Use some of: {', '.join(Family)}"
        )
    return tuple(family for family in Family if not wanted or family in wanted)


def _words(families: Sequence[Family]) -> str:
    return "any family" if len(families) == len(Family) else ", ".join(sorted(families))


def _not_asked(converter: Converter, now_ms: int) -> NotAnswering:
    return NotAnswering(offer=offer_of(converter), since=now_ms, error="no answer yet")
