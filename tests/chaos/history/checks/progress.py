"""Progress within a conversion: percent, counters and runs only grow, and it is completed under one token."""

from collections import defaultdict
from collections.abc import Iterator

from converto_core.conversion.record import Status
from tests.chaos.history.call import Call
from tests.chaos.history.checks.steps import chained, is_within
from tests.chaos.history.history import History, Read, in_order
from tests.chaos.history.violation import Kind, Violation


def check_progress(history: History) -> Iterator[Violation]:
    """Yield answers with a smaller percent, a smaller counter or an earlier run than one that was told before."""
    for conversion_id, reads in history.reads.items():
        retries = history.retries(conversion_id)
        for order in (in_order(reads), *map(chained, history.streams.get(conversion_id, ()))):
            known = _Known(retries)
            for read, earlier in order:
                for one in earlier:
                    known.add(one)
                for why, before in known.contradictions(read):
                    yield Violation(why, conversion_id, _texts(before, read), (before.call, read.call))


def check_tokens(history: History) -> Iterator[Violation]:
    """Yield conversions announced as completed under more tokens than their retries explain."""
    tokens: dict[str, set[int]] = defaultdict(set)
    for event in history.published:
        if event.status is Status.COMPLETED:
            tokens[event.id].add(event.token)
    for conversion_id, found in tokens.items():
        retries = history.retries(conversion_id)
        if len(found) > 1 + len(retries):
            text = f"tokens {sorted(found)} with {len(retries)} retries"
            yield Violation(Kind.COMPLETED_TWICE, conversion_id, text, tuple(retries))


class _Known:
    """What was told of one conversion so far.

    A run is known by `started_at`, which the claim sets and nothing else changes. Within a run the percent of
    `processing` only grows; `error_count` always; `attempts_lost` until a retry sets it to zero.
    """

    def __init__(self, retries: list[Call]) -> None:
        self._retries = retries
        self._most_percent: dict[int | None, Read] = {}
        self._most_errors: Read | None = None
        self._by_lost: dict[int, Read] = {}
        self._by_run: dict[int | None, Read] = {}
        self._later_than: dict[int | None, Read] = {}
        """By run: an answer that has ended and told a later run."""
        self._runs_before: dict[int, set[int | None]] = {}

    def add(self, read: Read) -> None:
        """Add an answer that has ended."""
        told = read.told
        best = self._most_percent.get(told.started_at)
        if told.status is Status.PROCESSING and (best is None or best.told.percent < told.percent):
            self._most_percent[told.started_at] = read
        if self._most_errors is None or self._most_errors.told.error_count < told.error_count:
            self._most_errors = read
        lost = self._by_lost.get(told.attempts_lost)
        if lost is None or lost.start_s < read.start_s:
            self._by_lost[told.attempts_lost] = read
        self._by_run.setdefault(told.started_at, read)
        for run in self._runs_before.pop(id(read), ()):
            self._later_than.setdefault(run, read)

    def contradictions(self, read: Read) -> Iterator[tuple[Kind, Read]]:
        """Yield what this answer contradicts, with the earlier answer."""
        told = read.told
        if later := self._later_than.get(told.started_at):
            yield Kind.RUN_WENT_BACK, later
        self._runs_before[id(read)] = set(self._by_run) - {told.started_at}
        best = self._most_percent.get(told.started_at)
        if best and told.status is Status.PROCESSING and told.percent < best.told.percent:
            yield Kind.PERCENT_WENT_BACK, best
        if self._most_errors and told.error_count < self._most_errors.told.error_count:
            yield Kind.COUNTER_WENT_BACK, self._most_errors
        for lost, before in self._by_lost.items():
            if told.attempts_lost < lost and not any(is_within(retry, before, read) for retry in self._retries):
                yield Kind.COUNTER_WENT_BACK, before


def _texts(before: Read, after: Read) -> str:
    return f"told {_text(before)}, then {_text(after)}"


def _text(read: Read) -> str:
    told = read.told
    return (
        f"{told.status} {told.percent:g} % of the run from {told.started_at}, lost {told.attempts_lost}, "
        f"errors {told.error_count}"
    )
