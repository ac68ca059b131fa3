"""How long something takes, said as a range that one can rely on rather than as one number. Pure arithmetic.

All values are seconds.
"""

from collections.abc import Sequence

import msgspec

_ENOUGH = 5
"""Fewer earlier runs than this say too little to be called experience."""
_LEAST_PERCENT, _LEAST_ELAPSED_S = 12.0, 1.0
"""Before this the program itself has hardly begun: the first tenth is the download."""
_UNEVEN = 2.0
"""The rest of a conversion may run half as fast, or twice as fast, as what is done: scenes and pages differ so."""
_UNTRIED = 5.0
"""A program's typical time, written down by its converter, is right within this factor."""


class SecondsRange(msgspec.Struct, frozen=True, kw_only=True):
    """Between `low_s` and `high_s`; `based_on` is the number of earlier runs it rests on, 0 for none."""

    low_s: float
    high_s: float
    based_on: int = 0


def expected(durations_s: Sequence[float], typical_s: float) -> SecondsRange:
    """How long such a conversion takes: four of five earlier ones took that long, or what its converters tell."""
    if len(durations_s) < _ENOUGH:
        return SecondsRange(low_s=_rounded(typical_s / _UNTRIED), high_s=_rounded(typical_s * _UNTRIED))
    ordered = sorted(durations_s)
    low, high = _quantile(ordered, 0.1), _quantile(ordered, 0.9)
    return SecondsRange(low_s=_rounded(low), high_s=_rounded(high), based_on=len(ordered))


def remaining(percent: float, elapsed_s: float) -> SecondsRange | None:
    """How long a running conversion still takes, judged by its own pace; None while nobody can know."""
    if percent < _LEAST_PERCENT or elapsed_s < _LEAST_ELAPSED_S:
        return None
    even_s = elapsed_s * max(100.0 - percent, 0.0) / percent
    return SecondsRange(low_s=_rounded(even_s / _UNEVEN), high_s=_rounded(even_s * _UNEVEN))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _rounded(seconds: float) -> float:
    return round(seconds, 1) if seconds < 10 else float(round(seconds))
