"""Times as ranges: honest when work runs unevenly, silent when nobody can know (promise of honest progress)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converto_core.conversion.estimate import expected, remaining

some_seconds = st.floats(0.1, 20_000)


def test_expected_when_nothing_was_ever_run_then_a_wide_guess_that_says_so() -> None:
    guess = expected([], 3.0)

    assert guess.based_on == 0
    assert guess.low_s < 3.0 < guess.high_s


def test_expected_when_there_is_experience_then_most_of_it_lies_inside() -> None:
    told = expected([4.0, 5.0, 5.5, 6.0, 90.0, 5.2, 4.8, 5.1, 5.3, 4.9], 1.0)

    assert told.based_on == 10
    assert 4.0 <= told.low_s <= 5.0
    assert 5.5 <= told.high_s < 90.0


@pytest.mark.parametrize(("percent", "elapsed_s"), [(0, 100.0), (10, 100.0), (50, 0.2)])
def test_remaining_when_hardly_begun_then_nothing_is_claimed(percent: float, elapsed_s: float) -> None:
    assert remaining(percent, elapsed_s) is None


@given(done=st.floats(13, 99), elapsed_s=st.floats(1, 5000), pace=st.floats(0.5, 2.0))
def test_remaining_when_the_rest_runs_up_to_twice_as_fast_or_slow_then_the_truth_lies_inside(
    done: float, elapsed_s: float, pace: float
) -> None:
    truth_s = elapsed_s * (100 - done) / done / pace

    told = remaining(done, elapsed_s)

    assert told is not None
    assert told.low_s - max(0.5, 0.01 * truth_s) <= truth_s <= told.high_s + max(0.5, 0.01 * truth_s)


@given(durations=st.lists(some_seconds, max_size=60), typical_s=some_seconds)
def test_expected_whatever_was_run_then_low_is_not_above_high(durations: list[float], typical_s: float) -> None:
    told = expected(durations, typical_s)

    assert 0 <= told.low_s <= told.high_s
