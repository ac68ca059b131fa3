"""One progress bar for each file on a terminal, none in a pipe."""

from types import TracebackType
from typing import Self

from converto_cli.terminal.output import Console, plain


class Bar:
    """The progress of one file, not shown; `LiveBar` shows it."""

    def begin(self, stage: str, total: float) -> None:
        """Start a new stage at zero."""

    def advance(self, amount: float) -> None:
        """Add `amount` to the progress of the stage."""

    def reach(self, percent: float, stage: str) -> None:
        """Set the progress of the stage in percent."""

    def end(self, text: str) -> None:
        """Stop the bar, with this text."""


class Bars:
    """The bars of one command, drawn on stderr inside a `with` block."""

    def __init__(self, console: Console) -> None:
        """Draw only on a terminal."""
        self._progress = None
        if console.is_live:
            # Importing rich takes a tenth of a second, which a pipe does not need.
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
        """Whether bars are drawn, so that progress has to be requested."""
        return self._progress is not None

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; the last state stays visible."""
        if self._progress is not None:
            self._progress.stop()

    def add(self, filename: str) -> Bar:
        """Add the bar of another file."""
        if self._progress is None:
            return Bar()
        from converto_cli.terminal.live_bar import LiveBar  # noqa: PLC0415 - it needs rich

        return LiveBar(self._progress, plain(filename))
