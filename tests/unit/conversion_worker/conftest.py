"""Fixtures of the worker's tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.conversion_worker.harness import Harness


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """Capture log entries, so that provoked tracebacks do not fill the terminal."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    one = Harness(tmp_path / "work")
    one.workspace.open()
    one.tasks.append(asyncio.create_task(one.listen()))
    yield one
    await one.close()
