"""One bar drawn by rich. Imported only when there is a terminal to draw on."""

from rich.progress import Progress

from converto_cli.terminal.output import plain
from converto_cli.terminal.progress_bars import Bar

LONGEST_NAME = 40


class LiveBar(Bar):
    """One line: name, bar, per cent, time, stage."""

    def __init__(self, progress: Progress, filename: str) -> None:
        """The bar appears at once, waiting."""
        self._progress = progress
        shown = filename if len(filename) <= LONGEST_NAME else filename[: LONGEST_NAME - 1] + "…"
        self._line = progress.add_task("", total=100.0, filename=shown, stage="waiting")

    def begin(self, stage: str, total: float) -> None:
        """A new stage begins at zero; the clock goes on."""
        self._progress.update(self._line, completed=0, total=max(total, 1), stage=plain(stage))

    def advance(self, amount: float) -> None:
        """`amount` more of the stage is done."""
        self._progress.advance(self._line, amount)

    def reach(self, percent: float, stage: str) -> None:
        """The stage is at `percent` of 100."""
        self._progress.update(self._line, completed=percent, total=100, stage=plain(stage))

    def end(self, words: str) -> None:
        """The file is done; a bar that did not get to its end stays as it is."""
        self._progress.update(self._line, stage=plain(words))
        self._progress.stop_task(self._line)
