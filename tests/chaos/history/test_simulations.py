"""Legal histories of simulated runs are never blamed, those with stale reads are; large ones take seconds."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.history.checker import report, violations_of
from tests.chaos.history.history import History
from tests.chaos.history.simulation import Simulation

SEEDS = st.integers(min_value=0, max_value=2**32)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_legal_history_has_no_violation(seed: int) -> None:
    history = History(Simulation(seed).run())

    assert report(history, violations_of(history))[1:] == []


@pytest.mark.parametrize("seed", range(10))
def test_reads_from_a_lagging_replica_are_found(seed: int) -> None:
    assert violations_of(History(Simulation(seed, lag_s=8).run()))


def test_history_of_many_clients_is_checked_in_seconds() -> None:
    history = History(Simulation(1, conversions=400, clients=200).run())
    began_s = time.process_time()

    violations = violations_of(history)

    assert len(history.calls) > 6_000
    assert violations == []
    assert time.process_time() - began_s < 3  # 100,000 calls in 50 s of a core at worst; 2 s are usual
