"""A progress bar drawn by rich; imported only when stderr is a terminal."""

from rich.progress import Progress

from converto_cli.terminal.output import plain
from converto_cli.terminal.progress_bars import Bar

LONGEST_NAME = 40


class LiveBar(Bar):
    """One line with name, bar, percentage, time and stage."""

    def __init__(self, progress: Progress, filename: str) -> None:
        """Show the bar at once, as waiting."""
        self._progress = progress
        shown = filename if len(filename) <= LONGEST_NAME else filename[: LONGEST_NAME - 1] + "…"
        self._line = progress.add_task("", total=100.0, filename=shown, stage="waiting")

    def begin(self, stage: str, total: float) -> None:
        """Start a new stage at zero; the clock keeps running."""
        self._progress.update(self._line, completed=0, total=max(total, 1), stage=plain(stage))

    def advance(self, amount: float) -> None:
        """Add `amount` to the progress of the stage."""
        self._progress.advance(self._line, amount)

    def reach(self, percent: float, stage: str) -> None:
        """Set the progress of the stage in percent."""
        self._progress.update(self._line, completed=percent, total=100, stage=plain(stage))

    def end(self, text: str) -> None:
        """Stop the bar where it is, with this text."""
        self._progress.update(self._line, stage=plain(text))
        self._progress.stop_task(self._line)
