"""The ledger of a run: what was promised to clients, what became of it, and how that counts.

Words: *attempted* requests, of which *accepted* ones were answered by 2xx; each accepted one is *completed*, *failed as
expected* or cancelled as its client wanted, or else *lost* (no record), *stuck* (not ended), *doubled* (more than
one record, completion or set of outputs, or another's output) or *wrongly failed* (ended otherwise than its source
demands).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from converto_core.conversion.record import TERMINAL, Conversion, Status
from tests.chaos.report.journal import Entry
from tests.chaos.sources import Source, right_endings


@dataclass
class Account:
    """What one client sent and was promised."""

    source: Source
    attempted_s: float = 0.0
    conversion_id: str | None = None
    refusals: int = 0
    retries: int = 0
    unexpected_answers: list[str] = field(default_factory=list)

    def accept(self, conversion_id: str) -> None:
        """Record the service's promise."""
        self.conversion_id = conversion_id


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the servers hold when the run is over.

    `records` by client label; `outputs` are the bytes of each completed conversion by its id; `completions` are the
    tokens of all `completed` events that were received, by conversion id.
    """

    records: Mapping[str, Sequence[Conversion]]
    outputs: Mapping[str, Sequence[bytes | None]]
    completions: Mapping[str, frozenset[int]]
    journal: Sequence[Entry]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The counts, and the names of what went wrong."""

    attempted: int
    accepted: int
    completed: int
    failed_as_expected: int
    cancelled: int
    lost: tuple[str, ...]
    stuck: tuple[str, ...]
    doubled: tuple[str, ...]
    wrongly_failed: tuple[str, ...]
    executions: int
    executed: int

    @property
    def is_clean(self) -> bool:
        """True when nothing is lost, stuck, doubled or wrongly failed."""
        return not (self.lost or self.stuck or self.doubled or self.wrongly_failed)

    @property
    def executions_each(self) -> float:
        """Engine runs per conversion that needed exactly one."""
        return self.executions / self.executed if self.executed else 0.0


def ledger_of(accounts: Sequence[Account], findings: Findings) -> Ledger:
    """Compare what was promised with what was found."""
    accepted = [account for account in accounts if account.conversion_id is not None]
    endings = [_record(account, findings) for account in accepted]
    pairs = list(zip(accepted, endings, strict=True))
    runs, executed = _executions(pairs, findings.journal)
    return Ledger(
        attempted=len(accounts),
        accepted=len(accepted),
        completed=_count(pairs, Status.COMPLETED),
        failed_as_expected=_count(pairs, Status.FAILED),
        cancelled=_count(pairs, Status.CANCELLED),
        lost=tuple(account.source.label for account, record in pairs if record is None),
        stuck=(
            *(_describe(account, record) for account, record in pairs if _is_stuck(record)),
            *_never_accepted(accounts),
        ),
        doubled=tuple(why for account in accounts for why in _doublings(account, findings)),
        wrongly_failed=tuple(_describe(account, record) for account, record in pairs if _is_wrong(account, record)),
        executions=runs,
        executed=executed,
    )


def _record(account: Account, findings: Findings) -> Conversion | None:
    records = findings.records.get(account.source.label, ())
    return next((record for record in records if record.id == account.conversion_id), None)


def _count(pairs: Iterable[tuple[Account, Conversion | None]], status: Status) -> int:
    return sum(
        record is not None and record.status is status and not _is_wrong(account, record) for account, record in pairs
    )


def _is_stuck(record: Conversion | None) -> bool:
    return record is not None and record.status not in TERMINAL


def _never_accepted(accounts: Iterable[Account]) -> list[str]:
    """Return clients that still ask after everything is healed: stuck too, though nothing was promised."""
    return [f"{account.source.label} never accepted" for account in accounts if account.conversion_id is None]


def _is_wrong(account: Account, record: Conversion | None) -> bool:
    if record is None or _is_stuck(record):
        return False
    return (record.status, record.error_code) not in right_endings(account.source)


def _doublings(account: Account, findings: Findings) -> list[str]:
    label = account.source.label
    records = findings.records.get(label, ())
    found = [f"{label} has {len(records)} records"] if len(records) > 1 else []
    for record in records:
        found += [f"{label} {what}" for what in _doublings_of(record, account.source, findings)]
    return found


def _doublings_of(record: Conversion, source: Source, findings: Findings) -> list[str]:
    tokens = findings.completions.get(record.id, frozenset())
    referenced = {int(output.key.split("/")[-2]) for output in record.outputs}
    outputs = findings.outputs.get(record.id, ())
    found = []
    if len(tokens) > 1:
        found.append(f"completed under tokens {sorted(tokens)}")
    if referenced - {record.token}:
        found.append(f"refers to outputs of tokens {sorted(referenced)}, its own is {record.token}")
    if record.status is Status.COMPLETED and (len(outputs) != 1 or not _is_right(outputs[0], source)):
        found.append("has an output that is not what its source gives")
    return found


def _is_right(output: bytes | None, source: Source) -> bool:
    return output is not None and source.is_result(output)


def _executions(pairs: Sequence[tuple[Account, Conversion | None]], journal: Sequence[Entry]) -> tuple[int, int]:
    """Return the engine runs of conversions that need one run each, and how many of those ran at all."""
    healthy = {
        account.conversion_id
        for account, record in pairs
        if record is not None and record.status is Status.COMPLETED and account.source.fails_with is None
    }
    runs = [entry.conversion for entry in journal if entry.what == "started" and entry.conversion in healthy]
    return len(runs), len(set(runs))


def _describe(account: Account, record: Conversion | None) -> str:
    if record is None:
        return account.source.label
    return (
        f"{account.source.label} {account.source.kind} {record.id} is {record.status} {record.error_code or ''} "
        f"(attempt {record.attempt}, lost {record.lost}, lane {record.lane}, due {record.publish_due})"
    )
