"""No test of this folder has a limit in real time: its time is fake, and it counts turns of the loop instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.model.cluster import Cluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the limit away; pytest calls this with the tests of all folders."""
    for test in items:
        if test.path.is_relative_to(HERE):
            test.add_marker(pytest.mark.timeout(0))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An installation in fake time, without the noise of its logs."""
    with structlog.testing.capture_logs():
        one = Cluster()
        yield one
        one.close()
