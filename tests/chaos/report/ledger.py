"""The ledger of a run: what was promised to clients, what became of it, and how that counts.

Words: *attempted* requests, of which *accepted* ones were answered by 2xx; each accepted one is *completed*, *failed as
expected*, cancelled or deleted as its client wanted, or else *lost* (no record), *stuck* (not ended), *doubled* (more
than one record, completion or set of outputs, or another's output) or *wrongly failed* (ended otherwise than its source
demands). *Told falsely*: an answer to a client that was not true.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from converto_core.conversion.record import TERMINAL, Conversion, Status
from tests.chaos.report.accounts import Account
from tests.chaos.report.journal import Entry
from tests.chaos.sources import Source, right_endings


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the servers hold when the run is over.

    `records` by client label; `outputs` are the bytes of each completed conversion by its id; `completions` are the
    tokens of all `completed` events that were received, by conversion id; `pictures` are the bytes that each picture
    has to give, by the sha256 of its source.
    """

    records: Mapping[str, Sequence[Conversion]]
    outputs: Mapping[str, Sequence[bytes | None]]
    completions: Mapping[str, frozenset[int]]
    journal: Sequence[Entry]
    pictures: Mapping[str, bytes] = msgspec.field(default_factory=dict)


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The counts, and the names of what went wrong. `unfinished` ones had no time to end: their run was killed."""

    attempted: int
    accepted: int
    completed: int
    failed_as_expected: int
    cancelled: int
    deleted: int
    lost: tuple[str, ...]
    stuck: tuple[str, ...]
    doubled: tuple[str, ...]
    wrongly_failed: tuple[str, ...]
    told_falsely: tuple[str, ...]
    unfinished: tuple[str, ...]
    executions: int
    executed: int

    @property
    def is_clean(self) -> bool:
        """True when nothing is lost, stuck, doubled, wrongly failed or told falsely."""
        return not (self.lost or self.stuck or self.doubled or self.wrongly_failed or self.told_falsely)

    @property
    def executions_each(self) -> float:
        """Engine runs per conversion that needed exactly one."""
        return self.executions / self.executed if self.executed else 0.0


def ledger_of(accounts: Sequence[Account], findings: Findings, *, is_drained: bool = True) -> Ledger:
    """Compare what was promised with what was found. Only in a drained run had each conversion the time to end."""
    accepted = [account for account in accounts if account.conversion_id is not None]
    pairs = [(account, _record(account, findings)) for account in accepted]
    runs, executed = _executions(pairs, findings.journal)
    open_ones = [*(_describe(account, record) for account, record in pairs if _is_stuck(record))]
    open_ones += _never_accepted(accounts)
    return Ledger(
        attempted=len(accounts),
        accepted=len(accepted),
        completed=_count(pairs, Status.COMPLETED),
        failed_as_expected=_count(pairs, Status.FAILED),
        cancelled=_count(pairs, Status.CANCELLED),
        deleted=sum(record is None and account.is_deleted for account, record in pairs),
        lost=tuple(account.source.label for account, record in pairs if record is None and not account.is_deleted),
        stuck=tuple(open_ones) if is_drained else (),
        doubled=tuple(why for account in accounts for why in _doublings(account, findings)),
        wrongly_failed=tuple(_describe(account, record) for account, record in pairs if _is_wrong(account, record)),
        told_falsely=tuple(why for account, record in pairs for why in _false_answers(account, record)),
        unfinished=() if is_drained else tuple(open_ones),
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
    if account.attacks and record.error_code == "result_lost":
        return False  # its object was taken away, and that is what its record says
    return (record.status, record.error_code) not in right_endings(account.source)


def _false_answers(account: Account, record: Conversion | None) -> list[str]:
    found = [f"{account.source.label} {what}" for what in account.false_answers]
    if account.is_deletion_confirmed and record is not None:
        found.append(f"{account.source.label} was told that {record.id} is deleted, but it is {record.status}")
    return found


def _doublings(account: Account, findings: Findings) -> list[str]:
    label = account.source.label
    records = findings.records.get(label, ())
    found = [f"{label} has {len(records)} records"] if len(records) > 1 else []
    for record in records:
        found += [f"{label} {what}" for what in _doublings_of(record, account, findings)]
    return found


def _doublings_of(record: Conversion, account: Account, findings: Findings) -> list[str]:
    tokens = findings.completions.get(record.id, frozenset())
    referenced = {int(output.key.split("/")[-2]) for output in record.outputs}
    found = []
    if len(tokens) > 1 + account.retries:
        found.append(f"completed under tokens {sorted(tokens)}")
    if referenced - {record.token}:
        found.append(f"refers to outputs of tokens {sorted(referenced)}, its own is {record.token}")
    if record.status is Status.COMPLETED and not account.attacks:
        found += _output_faults(record, account.source, findings)
    return found


def _output_faults(record: Conversion, source: Source, findings: Findings) -> list[str]:
    """Compare bytes and hashes with what the source gives, whatever they are."""
    outputs = findings.outputs.get(record.id, ())
    if len(outputs) != 1 or outputs[0] is None or not _is_right(outputs[0], source, findings):
        return ["has an output that is not what its source gives"]
    found = []
    if hashlib.sha256(outputs[0]).hexdigest() != record.outputs[0].sha256:
        found.append("has an output with another sha256 than its record")
    if record.source_sha256 not in (None, hashlib.sha256(source.content).hexdigest()):
        found.append("has a record with the sha256 of another source")
    return found


def _is_right(output: bytes, source: Source, findings: Findings) -> bool:
    if source.kind == "picture":
        return output == findings.pictures.get(hashlib.sha256(source.content).hexdigest())
    return source.is_result(output)


def _executions(pairs: Sequence[tuple[Account, Conversion | None]], journal: Sequence[Entry]) -> tuple[int, int]:
    """Return the engine runs of conversions that need one run each, and how many of those ran at all."""
    healthy = {
        account.conversion_id
        for account, record in pairs
        if record is not None
        and record.status is Status.COMPLETED
        and account.source.fails_with is None
        and not account.retries
    }
    runs = [entry.conversion for entry in journal if entry.what == "started" and entry.conversion in healthy]
    return len(runs), len(set(runs))


def _describe(account: Account, record: Conversion | None) -> str:
    if record is None:
        return account.source.label
    error = f" {record.error_code}" if record.error_code else ""
    return (
        f"{account.source.label} {account.source.kind} {record.id} is {record.status}{error} "
        f"(attempt {record.attempt}, lost {record.lost}, lane {record.lane}, publish_due {record.publish_due})"
    )
