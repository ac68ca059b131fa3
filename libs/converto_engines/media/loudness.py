"""EBU R 128 loudness in two runs of ffmpeg's loudnorm: one measures, one sets. It starts nothing."""

import json
import math
import re

import msgspec

_PEAK_DBTP = -1.0  # lossy codecs overshoot a little; EBU R 128 leaves this much room
_WIDEST_RANGE_LU = 50.0
_REPORT = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the first run measured: loudness, highest peak, range, and the threshold below which all was left out."""

    loudness: float
    peak: float
    range: float
    threshold: float
    offset: float


def measuring(target: float) -> str:
    """The filter of the first run; it tells its figures as JSON in the log."""
    return f"loudnorm=I={target:g}:TP={_PEAK_DBTP:g}:LRA={_WIDEST_RANGE_LU:g}:print_format=json"


def found(log: str) -> Found | None:
    """The figures in a log; None for silence, or for a sound too short to measure."""
    reports = _REPORT.findall(log)
    if not reports:
        return None
    told = json.loads(reports[-1])
    names = ("input_i", "input_tp", "input_lra", "input_thresh", "target_offset")
    figures = [_figure(told.get(name)) for name in names]
    if not all(map(math.isfinite, figures)) or figures[0] <= -70:
        return None
    return Found(loudness=figures[0], peak=figures[1], range=figures[2], threshold=figures[3], offset=figures[4])


def setting(target: float, measured: Found) -> str:
    """The filter of the second run.

    With the widest range allowed the volume is moved as a whole, and soft and loud parts keep their distance; where
    that would pass the highest peak allowed, the filter follows the sound instead.
    """
    return (
        f"loudnorm=I={target:g}:TP={_PEAK_DBTP:g}:LRA={_WIDEST_RANGE_LU:g}:linear=true"
        f":measured_I={measured.loudness:.2f}:measured_TP={measured.peak:.2f}:measured_LRA={measured.range:.2f}"
        f":measured_thresh={measured.threshold:.2f}:offset={measured.offset:.2f}"
    )


def _figure(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan
