"""The running Compose stack converts with each of its workers (behaviour I14): `make test-compose`.

For machines with Docker, after `docker compose up --build --wait`; CI runs it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.local.home import REPOSITORY
from tests.e2e.images.conversions import CONVERSIONS, convert

ENV = REPOSITORY / ".env"


@pytest.fixture(scope="module")
def compose() -> Iterator[httpx2.Client]:
    """A client of the stack that `.env` describes."""
    if not os.environ.get("CONVERTO_TEST_COMPOSE"):
        pytest.skip("runs with `make test-compose` while the Compose stack is up")
    values = dict(line.split("=", 1) for line in ENV.read_text().splitlines() if "=" in line)
    headers = {"Authorization": f"Bearer {values['CONVERTO_BOOTSTRAP_API_KEY']}"}
    url = f"http://127.0.0.1:{values['HTTP_PORT']}"
    with httpx2.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("worker", CONVERSIONS)
def test_compose_stack_converts(worker: str, compose: httpx2.Client, samples: dict[str, Path]) -> None:
    convert(compose, samples, CONVERSIONS[worker])
