"""A whole history, sorted out for the checks: calls, what they told of each conversion, which may have changed it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tests.chaos.history.call import Asked, Call, Damaged, Ended, Line, Outcome, Published, Streamed, Told, open_end
from tests.chaos.history.journal import read_lines

CONVERSION = "/conversions/{id}"
RETRY, CANCEL = "/conversions/{id}/retry", "/conversions/{id}/cancel"


class Read(msgspec.Struct, frozen=True):
    """One conversion as one answer told it: it was in this state at some moment between start and end of the call."""

    call: Call
    told: Told
    end_s: float

    @property
    def start_s(self) -> float:
        """The earliest moment."""
        return self.call.start_s

    def __str__(self) -> str:
        return f"{self.told.status} by {self.call}"


class History:
    """The lines of one run, by what they are about."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.calls: list[Call] = []
        self.reads: dict[str, list[Read]] = defaultdict(list)
        """By conversion, in no order; an answer that is a replay of an earlier one reads nothing."""
        self.streams: dict[str, list[list[Read]]] = defaultdict(list)
        """By conversion: what each stream told of it, in the order of the stream."""
        self.published: list[Published] = []
        self.damaged: dict[str, float] = {}
        self._named: dict[str, list[Call]] = defaultdict(list)
        self._sort(lines)

    @property
    def clients(self) -> int:
        """The number of clients that called."""
        return len({call.asked.client for call in self.calls})

    def naming(self, resource_id: str) -> list[Call]:
        """Return the calls whose path names this conversion or file."""
        return self._named.get(resource_id, [])

    @property
    def named(self) -> Iterable[str]:
        """The ids that paths name."""
        return self._named.keys()

    def changes(self, resource_id: str, method: str, path: str) -> list[Call]:
        """Return the calls of this operation on this record that may have had an effect."""
        return [call for call in self.naming(resource_id) if call.is_for(method, path) and call.may_have_done]

    def retries(self, conversion_id: str) -> list[Call]:
        """Return the retries that may have had an effect."""
        return self.changes(conversion_id, "POST", RETRY)

    def _sort(self, lines: Iterable[Line]) -> None:
        asked: dict[int, Asked] = {}
        ended: dict[int, Ended] = {}
        streamed: dict[int, list[Streamed]] = defaultdict(list)
        for line in lines:
            match line:
                case Asked():
                    asked[line.number] = line
                case Ended():
                    ended[line.number] = line
                case Streamed():
                    streamed[line.number].append(line)
                case Published():
                    self.published.append(line)
                case Damaged():
                    self.damaged.setdefault(line.object_key, line.at_s)
        for number, one in asked.items():
            self._add(Call(one, ended.get(number) or open_end(one)), streamed.get(number, []))

    def _add(self, call: Call, streamed: list[Streamed]) -> None:
        self.calls.append(call)
        if call.asked.id is not None:
            self._named[call.asked.id].append(call)
        if call.ended.outcome is Outcome.ANSWERED and not call.ended.is_replayed:
            for told in call.ended.told:
                self.reads[told.id].append(Read(call, told, call.end_s))
        by_id: dict[str, list[Read]] = defaultdict(list)
        for event in streamed:
            by_id[event.told.id].append(Read(call, event.told, event.at_s))
        for conversion_id, reads in by_id.items():
            self.reads[conversion_id] += reads
            self.streams[conversion_id].append(reads)


def read_history(path: Path) -> History:
    """Return the history in this file, also that of a run that was killed."""
    return History(read_lines(path))


def in_order(reads: Iterable[Read]) -> Iterator[tuple[Read, list[Read]]]:
    """Yield each read by its start, with the reads that have ended since the one before and before it began.

    So whoever collects those lists knows, at each read, everything that was told before it was asked.
    """
    by_start = sorted(reads, key=lambda read: read.start_s)
    by_end = sorted(by_start, key=lambda read: read.end_s)
    done = 0
    for read in by_start:
        begun = done
        while by_end[done].end_s < read.start_s:
            done += 1
        yield read, by_end[begun:done]
