"""Filters for EBU R 128 loudness with ffmpeg's loudnorm in two runs: the first measures, the second normalises."""

import json
import math
import re

import msgspec

_PEAK_DBTP = -1.0  # lossy codecs overshoot a little; EBU R 128 leaves this much room
_MAX_RANGE_LU = 50.0
_REPORT = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the first run: loudness (LUFS), true peak (dBTP), range (LU), gating threshold (LUFS), offset (LU)."""

    loudness: float
    peak: float
    range: float
    threshold: float
    offset: float


def measure_filter(target: float) -> str:
    """Return the filter of the first run, which writes its figures as JSON to the log."""
    return f"loudnorm=I={target:g}:TP={_PEAK_DBTP:g}:LRA={_MAX_RANGE_LU:g}:print_format=json"


def parse_measurement(log: str) -> Measurement | None:
    """Parse the figures in a log; None for silence, or for sound too short to measure."""
    reports = _REPORT.findall(log)
    if not reports:
        return None
    report = json.loads(reports[-1])
    names = ("input_i", "input_tp", "input_lra", "input_thresh", "target_offset")
    figures = [_figure(report.get(name)) for name in names]
    if not all(map(math.isfinite, figures)) or figures[0] <= -70:
        return None
    return Measurement(loudness=figures[0], peak=figures[1], range=figures[2], threshold=figures[3], offset=figures[4])


def normalise_filter(target: float, measured: Measurement) -> str:
    """Return the filter of the second run.

    With the maximum range, the gain is constant and the dynamics are kept; where that would exceed the peak limit, the
    filter falls back to dynamic gain.
    """
    return (
        f"loudnorm=I={target:g}:TP={_PEAK_DBTP:g}:LRA={_MAX_RANGE_LU:g}:linear=true"
        f":measured_I={measured.loudness:.2f}:measured_TP={measured.peak:.2f}:measured_LRA={measured.range:.2f}"
        f":measured_thresh={measured.threshold:.2f}:offset={measured.offset:.2f}"
    )


def _figure(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan
