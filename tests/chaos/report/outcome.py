"""Judges a run by what is in its folder: the same way at its end and long after it was killed."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from converto_core.conversion.record import Status
from converto_infra.settings import Settings
from tests.chaos.history.checker import report, violations_of
from tests.chaos.history.history import read_history
from tests.chaos.report.accounts import accounts_of
from tests.chaos.report.entries import Began, Drained, Injected, Line, Told, Verdict
from tests.chaos.report.figures import figures_of
from tests.chaos.report.findings import read_findings
from tests.chaos.report.journal import HISTORY, PROCESSES, RUN, Journal, RunJournal
from tests.chaos.report.ledger import Findings, Ledger, ledger_of
from tests.chaos.report.limits import is_quiet, limits_of
from tests.chaos.report.memory import memory_figures, memory_verdicts
from tests.chaos.report.rereads import WITHIN_S
from tests.chaos.report.unexpected_errors import unexpected_errors


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger of a run, its verdicts besides it, and its measurements as text.

    `is_judged` is False when the servers could not be read: then the ledger holds the promises only.
    """

    ledger: Ledger
    verdicts: tuple[Verdict, ...]
    faults: int
    faults_met: int
    met_nobody: tuple[str, ...]
    is_quiet: bool
    is_judged: bool
    figures: tuple[str, ...]
    unexpected_answers: tuple[str, ...]
    kept_folder: str | None = None

    @property
    def counting(self) -> tuple[Verdict, ...]:
        """The verdicts that make the run unclean: a missed limit does so on a quiet machine only."""
        return tuple(verdict for verdict in self.verdicts if self.is_quiet or not verdict.is_limit)

    @property
    def is_clean(self) -> bool:
        """True when the ledger is clean, was read, and no verdict counts."""
        return self.ledger.is_clean and self.is_judged and not self.counting


async def judge(folder: Path, settings: Settings, *, within_s: float = WITHIN_S) -> Outcome:
    """Read what the servers hold and compare it with the journals in the folder; never raises for what it finds."""
    lines, journal = RunJournal(folder / RUN).read(), Journal(folder / PROCESSES).read()
    accounts = accounts_of(lines)
    broken: list[Verdict] = []
    try:
        findings = await read_findings(settings, accounts, lines, journal=journal, within_s=within_s)
    except Exception:
        broken.append(Verdict("the final records could not be read", traceback.format_exc(limit=-4)))
        findings = Findings(records={}, outputs={}, completions={}, journal=journal)
    is_drained = any(isinstance(line, Drained) for line in lines)
    ledger = ledger_of(accounts, findings, is_drained=is_drained)
    if broken:
        ledger = msgspec.structs.replace(ledger, lost=(), stuck=(), told_falsely=())
    faults = [line for line in lines if isinstance(line, Injected)]
    violations, of_history = _history_in(folder)
    return Outcome(
        ledger=ledger,
        verdicts=(
            *_verdicts(lines),
            *memory_verdicts(lines),
            *backward_progress(lines),
            *limits_of(lines, journal),
            *violations,
            *broken,
        ),
        faults=len(faults),
        faults_met=sum(fault.met > 0 for fault in faults),
        met_nobody=tuple(fault.name for fault in faults if not fault.met),
        is_quiet=is_quiet(lines),
        is_judged=not broken,
        figures=(*figures_of(lines, journal), *memory_figures(lines), *_errors_in(folder), of_history),
        unexpected_answers=tuple(text for account in accounts for text in account.unexpected_answers),
    )


def backward_progress(lines: Sequence[Line]) -> list[Verdict]:
    """Return a verdict for each run whose live events told less progress after a later heartbeat."""
    told: dict[tuple[str, int], list[Told]] = {}
    for line in lines:
        if isinstance(line, Told) and line.status == Status.PROCESSING:
            told.setdefault((line.id, line.token), []).append(line)
    found = []
    for (conversion_id, token), events in told.items():
        percents = [event.percent for event in sorted(events, key=lambda event: (event.beat, event.percent))]
        if percents != sorted(percents):
            found.append(Verdict("live progress went back", f"{conversion_id}, token {token}: {percents}"))
    return found


def _verdicts(lines: Sequence[Line]) -> list[Verdict]:
    found = [line for line in lines if isinstance(line, Verdict)]
    if not any(isinstance(line, Began) for line in lines):
        found.append(Verdict("no run in this folder", "its journal does not begin"))
    return found


def _history_in(folder: Path) -> tuple[list[Verdict], str]:
    """Return a verdict for each broken promise to clients, and the line with the counts."""
    if not (folder / HISTORY).exists():
        return [], "history             none was recorded"
    try:
        history = read_history(folder / HISTORY)
        violations = violations_of(history)
    except Exception:
        return [
            Verdict("the history could not be checked", traceback.format_exc(limit=-4))
        ], "history             broken"
    return [Verdict("clients were told", str(one)) for one in violations], report(history, violations)[0]


def _errors_in(folder: Path) -> list[str]:
    found = ", ".join(f"{kind} {count}" for kind, count in unexpected_errors(folder / "logs").items())
    return [f"unexpected errors in the logs: {found or 'none'}"]
