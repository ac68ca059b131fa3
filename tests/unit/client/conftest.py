"""A client that talks to the service in memory; pauses are recorded instead of waited for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from converto_client import AsyncConverto, ResumeStore
from tests.unit.client.fake_service import BASE, KEY, FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
async def client(service: FakeService, pauses: list[float], tmp_path: Path) -> AsyncIterator[AsyncConverto]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    resume = ResumeStore(tmp_path / "state")
    async with AsyncConverto(BASE, KEY, http=service.transport(), sleep=sleep, resume=resume) as client:
        yield client


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    path = tmp_path / "deck.pptx"
    path.write_bytes(bytes(range(256)) * 100)
    return path
