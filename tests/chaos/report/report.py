"""Formats the outcome of a run as text."""

from collections import Counter

from tests.chaos.run import Outcome

MOST_NAMES = 10


def report(outcome: Outcome) -> str:
    """Return the ledger in its fixed words, the figures, then the names of what went wrong."""
    ledger = outcome.ledger
    lines = [
        f"attempted           {ledger.attempted}",
        f"accepted            {ledger.accepted}",
        f"completed           {ledger.completed}",
        f"failed as expected  {ledger.failed_as_expected}",
        f"lost                {len(ledger.lost)}",
        f"stuck               {len(ledger.stuck)}",
        f"doubled             {len(ledger.doubled)}",
        f"wrongly failed      {len(ledger.wrongly_failed)}",
        f"executions          {ledger.executions} of {ledger.executed} healthy ones "
        f"({ledger.executions_each:.3f} each; wanted: at most 1.1)",
        *outcome.figures,
        f"faults              {outcome.faults}",
        f"cancelled           {ledger.cancelled}, as their clients wanted",
    ]
    for word in ("lost", "stuck", "doubled", "wrongly_failed"):
        names = getattr(ledger, word)
        lines += [f"{word.replace('_', ' ')}: {name}" for name in names[:MOST_NAMES]]
    if outcome.kept_folder is not None:
        lines.append(f"logs and data        {outcome.kept_folder}")
    answers = Counter(outcome.unexpected_answers)
    lines += [f"unexpected answer, {count} times: {kind}" for kind, count in answers.most_common(MOST_NAMES)]
    return "\n".join(lines)
