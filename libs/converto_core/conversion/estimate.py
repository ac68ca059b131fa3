"""Estimates of how long a conversion takes, as ranges in seconds: a range is reliable where one number is not."""

from collections.abc import Sequence

import msgspec

_ENOUGH = 5
"""Fewer earlier runs than this are too small a sample."""
_LEAST_PERCENT, _LEAST_ELAPSED_S = 12.0, 1.0
"""Until then the program has hardly started: the first tenth is the download."""
_UNEVEN = 2.0
"""The rest may run half or twice as fast as the part that is done: scenes and pages differ that much."""
_UNTRIED = 5.0
"""The typical run time that a converter declares is accurate within this factor."""


class SecondsRange(msgspec.Struct, frozen=True, kw_only=True):
    """Between `low_s` and `high_s` seconds; `based_on` is the number of earlier runs used, 0 for none."""

    low_s: float
    high_s: float
    based_on: int = 0


def expected(durations_s: Sequence[float], typical_s: float) -> SecondsRange:
    """The time of the middle 80 % of earlier runs, or the typical time of the converters if there are too few runs."""
    if len(durations_s) < _ENOUGH:
        return SecondsRange(low_s=_rounded(typical_s / _UNTRIED), high_s=_rounded(typical_s * _UNTRIED))
    ordered = sorted(durations_s)
    low, high = _quantile(ordered, 0.1), _quantile(ordered, 0.9)
    return SecondsRange(low_s=_rounded(low), high_s=_rounded(high), based_on=len(ordered))


def remaining(percent: float, elapsed_s: float) -> SecondsRange | None:
    """The remaining time of a running conversion, from its own pace; None while it is too early to tell."""
    if percent < _LEAST_PERCENT or elapsed_s < _LEAST_ELAPSED_S:
        return None
    even_s = elapsed_s * max(100.0 - percent, 0.0) / percent
    return SecondsRange(low_s=_rounded(even_s / _UNEVEN), high_s=_rounded(even_s * _UNEVEN))


def _quantile(ordered: Sequence[float], share: float) -> float:
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _rounded(seconds: float) -> float:
    return round(seconds, 1) if seconds < 10 else float(round(seconds))
