"""What each client sent and was promised, read from the journal of the run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.report.entries import Line, Noted, Sent
from tests.chaos.sources import Source


@dataclass
class Account:
    """What one client sent, was promised and was told."""

    source: Source
    attempted_s: float = 0.0
    conversion_id: str | None = None
    retries: int = 0
    is_deleted: bool = False
    is_deletion_confirmed: bool = False
    attacks: int = 0
    """How often a fault has deleted or replaced one of its objects."""
    unexpected_answers: list[str] = field(default_factory=list)
    false_answers: list[str] = field(default_factory=list)
    """What the service told this client and may tell nobody: other bytes, progress that went back."""


def accounts_of(lines: Sequence[Line]) -> list[Account]:
    """Return one account per client in the order of their starts."""
    accounts: dict[str, Account] = {}
    for line in lines:
        if isinstance(line, Sent):
            accounts[line.source.label] = Account(line.source, line.at_s)
        elif isinstance(line, Noted) and line.label in accounts:
            _note(accounts[line.label], line)
    return list(accounts.values())


def _note(account: Account, noted: Noted) -> None:
    match noted.what:
        case "accepted":
            account.conversion_id = noted.detail
        case "retried":
            account.retries += 1
        case "deleting":
            account.is_deleted = True
        case "deleted":
            account.is_deleted = account.is_deletion_confirmed = True
        case "attacked":
            account.attacks += 1
        case "unexpected answer":
            account.unexpected_answers.append(noted.detail)
        case "false answer":
            account.false_answers.append(noted.detail)
