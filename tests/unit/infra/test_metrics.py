"""The metrics of a guard (C8): calls by outcome, breaker state, and state changes."""

import pytest
from prometheus_client import REGISTRY

from converto_core.errors import StoreUnavailable
from converto_infra.resilience import Guard


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_guard_counts_outcomes_and_state_changes() -> None:
    now = [100.0]
    guard = Guard("metered", StoreUnavailable, timeout_s=1, failures=2, reset_s=2.0, clock=lambda: now[0])

    async def fail() -> None:
        raise StoreUnavailable

    async def succeed() -> None:
        return None

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await guard.run(fail)
    while_open = value("converto_breaker_state", dependency="metered")
    now[0] += 3
    await guard.run(succeed)

    assert while_open == 2
    assert value("converto_breaker_state", dependency="metered") == 0
    assert value("converto_breaker_changes_total", dependency="metered", to="open") == 1
    assert value("converto_breaker_changes_total", dependency="metered", to="closed") == 1
    assert value("converto_dependency_calls_total", dependency="metered", outcome="failed") == 2
    assert value("converto_dependency_calls_total", dependency="metered", outcome="refused") == 1
    assert value("converto_dependency_calls_total", dependency="metered", outcome="answered") == 1
    assert value("converto_dependency_call_seconds_count", dependency="metered") == 3
