"""Formats the outcome of a run as text."""

from collections import Counter

from tests.chaos.report.outcome import Outcome

MOST_NAMES = 10
ZEROS = ("lost", "stuck", "doubled", "wrongly_failed", "told_falsely")


def report(outcome: Outcome) -> str:
    """Return the ledger in its fixed words, the figures, then the names of what went wrong."""
    lines = [*_counts(outcome), *outcome.figures, *_faults(outcome)]
    lines.append(f"machine             {'quiet: limits count' if outcome.is_quiet else 'busy: limits do not count'}")
    for word in (*ZEROS, "unfinished"):
        names = getattr(outcome.ledger, word)
        lines += [f"{word.replace('_', ' ')}: {name}" for name in names[:MOST_NAMES]]
    for verdict in outcome.verdicts:
        counts = "" if verdict in outcome.counting else " (does not count on a busy machine)"
        lines.append(f"verdict: {verdict.name}{counts}: {verdict.detail}")
    if outcome.kept_folder is not None:
        lines.append(f"logs and data        {outcome.kept_folder}")
        lines.append(f"judge it again       .venv/bin/python -m tests.chaos.judge {outcome.kept_folder}")
    answers = Counter(outcome.unexpected_answers)
    lines += [f"unexpected answer, {count} times: {kind}" for kind, count in answers.most_common(MOST_NAMES)]
    lines.append(f"the run is          {'clean' if outcome.is_clean else 'NOT clean'}")
    return "\n".join(lines)


def _counts(outcome: Outcome) -> list[str]:
    ledger = outcome.ledger
    unknown = "" if outcome.is_judged else " (unknown: the records could not be read)"
    return [
        f"attempted           {ledger.attempted}",
        f"accepted            {ledger.accepted}",
        f"completed           {ledger.completed}{unknown}",
        f"failed as expected  {ledger.failed_as_expected}{unknown}",
        *(f"{word.replace('_', ' '):<19} {len(getattr(ledger, word))}{unknown}" for word in ZEROS),
        f"cancelled           {ledger.cancelled}, as their clients wanted",
        f"deleted             {ledger.deleted}, as their clients wanted",
        f"executions          {ledger.executions} runs of the engine for {ledger.executed} healthy conversions "
        f"({ledger.executions_each:.3f} each; wanted: at most 1.1)",
    ]


def _faults(outcome: Outcome) -> list[str]:
    lines = [f"faults              {outcome.faults_met} of {outcome.faults} met something"]
    if outcome.met_nobody:
        lines.append(f"met nobody          {', '.join(sorted(set(outcome.met_nobody)))}")
    return lines
