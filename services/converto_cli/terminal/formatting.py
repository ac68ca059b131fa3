"""Formats durations, times and progress for people."""

from datetime import datetime

from converto_client.models import ConversionRecord, SecondsRange


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1g} s" if seconds < 1 else f"{seconds:.0f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def range_text(between: SecondsRange) -> str:
    """`2 s to 8 s`, or one figure when both ends look the same."""
    low, high = duration_text(between.low_s), duration_text(between.high_s)
    return low if low == high else f"{low} to {high}"


def stage_text(record: ConversionRecord) -> str:
    """Current stage and remaining time: `page 3 of 24, 2 s to 8 s left`."""
    stage = record.stage or record.status
    return f"{stage}, {range_text(record.remaining)} left" if record.remaining is not None else stage


def local_time(at_ms: int) -> str:
    """A server timestamp in the local time zone: `2026-11-25 14:03:09`."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
