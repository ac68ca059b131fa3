"""Time estimates as ranges: right for uneven work, absent when it is too early to tell (promise of honest progress)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converto_core.conversion.estimate import expected, remaining

some_seconds = st.floats(0.1, 20_000)


def test_expected_without_earlier_runs_is_a_wide_range() -> None:
    estimate = expected([], 3.0)

    assert estimate.based_on == 0
    assert estimate.low_s < 3.0 < estimate.high_s


def test_expected_covers_most_earlier_runs() -> None:
    estimate = expected([4.0, 5.0, 5.5, 6.0, 90.0, 5.2, 4.8, 5.1, 5.3, 4.9], 1.0)

    assert estimate.based_on == 10
    assert 4.0 <= estimate.low_s <= 5.0
    assert 5.5 <= estimate.high_s < 90.0


@pytest.mark.parametrize(("percent", "elapsed_s"), [(0, 100.0), (10, 100.0), (50, 0.2)])
def test_remaining_is_none_at_the_start(percent: float, elapsed_s: float) -> None:
    assert remaining(percent, elapsed_s) is None


@given(done=st.floats(13, 99), elapsed_s=st.floats(1, 5000), pace=st.floats(0.5, 2.0))
def test_remaining_covers_half_to_double_pace(done: float, elapsed_s: float, pace: float) -> None:
    truth_s = elapsed_s * (100 - done) / done / pace

    estimate = remaining(done, elapsed_s)

    assert estimate is not None
    assert estimate.low_s - max(0.5, 0.01 * truth_s) <= truth_s <= estimate.high_s + max(0.5, 0.01 * truth_s)


@given(durations=st.lists(some_seconds, max_size=60), typical_s=some_seconds)
def test_expected_low_never_exceeds_high(durations: list[float], typical_s: float) -> None:
    estimate = expected(durations, typical_s)

    assert 0 <= estimate.low_s <= estimate.high_s
