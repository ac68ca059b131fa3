"""The part of a source to convert: its options, its checks, and the ffmpeg arguments that cut it out."""

from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.errors import BadOptions
from converto_engines.converter import Job
from converto_engines.media.ffmpeg import WITHOUT_INDEX
from converto_engines.media.probe import Probe

Moment = Annotated[float, Meta(ge=0, le=1_000_000)]
Start = Annotated[Moment, Meta(description="Start of the part to convert, in seconds")]
End = Annotated[Moment | None, Meta(description="End of the part to convert, in seconds; default: the end")]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The requested part of the source in seconds; `end_s` None is the end."""

    start_s: float = 0.0
    end_s: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the whole source is requested."""
        return self.start_s == 0 and self.end_s is None

    def length_of(self, source_end_s: float) -> float:
        """Return the length after the cut of a track with this end."""
        end_s = source_end_s if self.end_s is None else min(source_end_s, self.end_s)
        return max(end_s - self.start_s, 0.0)


def cut_arguments(job: Job, window: Window) -> tuple[list[str], list[str]]:
    """Return the arguments before and after the input that cut out the part.

    Seeking is fast and exact in files with an index; others are decoded from the start.
    """
    if window.is_whole:
        return [], []
    start = ["-ss", f"{window.start_s:.6f}"] if window.start_s else []
    length = [] if window.end_s is None else ["-t", f"{window.end_s - window.start_s:.6f}"]
    is_exact = job.source_format not in WITHOUT_INDEX
    return (start, length) if is_exact else ([], [*start, *length])


def check_window(window: Window, probe: Probe) -> None:
    """Raise `BadOptions` for an empty part, or one after the end of the source."""
    if window.end_s is not None and window.end_s <= window.start_s:
        raise BadOptions("end_s must be after start_s")
    if probe.duration_s is not None and window.start_s >= probe.duration_s:
        raise BadOptions(f"start_s is after the end: the file lasts {probe.duration_s:.1f} s")
