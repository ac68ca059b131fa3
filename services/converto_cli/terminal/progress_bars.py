"""One progress bar per file on a terminal, and nothing at all in a pipe. It knows neither network nor files."""

from types import TracebackType
from typing import Self

from converto_cli.terminal.output import Screen, plain


class Bar:
    """The progress of one file. This one shows nothing; `_LiveBar` does."""

    def begin(self, stage: str, total: float) -> None:
        """A new stage begins at zero."""

    def advance(self, amount: float) -> None:
        """`amount` more of the stage is done."""

    def reach(self, percent: float, stage: str) -> None:
        """The stage is at `percent` of 100."""

    def end(self, words: str) -> None:
        """The file is done, with these words."""


class Bars:
    """The bars of one run, drawn on stderr between `with` and its end."""

    def __init__(self, screen: Screen) -> None:
        """Draws only when somebody watches."""
        self._progress = None
        if screen.is_live:
            # Drawing costs a tenth of a second to import, which a pipe need not pay.
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import (  # noqa: PLC0415
                BarColumn,
                Progress,
                TaskProgressColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            columns = (
                TextColumn("{task.fields[filename]}", markup=False),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[stage]}", markup=False, style="dim"),
            )
            self._progress = Progress(*columns, console=Console(stderr=True))

    @property
    def are_live(self) -> bool:
        """True when bars are really drawn, so that progress is worth asking for."""
        return self._progress is not None

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        if self._progress is not None:
            self._progress.stop()

    def add(self, filename: str) -> Bar:
        """A bar for one more file."""
        if self._progress is None:
            return Bar()
        from converto_cli.terminal.live_bar import LiveBar  # noqa: PLC0415 - it needs rich

        return LiveBar(self._progress, plain(filename))
