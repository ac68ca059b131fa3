"""A plain HTTP client for the running stack."""

from collections.abc import Iterator

import httpx2
import pytest

from deploy.local.stack.stack import SERVERS, Stack
from tests.conftest import run_apart


@pytest.fixture(scope="session")
def http(stack: Stack) -> Iterator[httpx2.Client]:
    """A client with the stack's key; its timeout leaves room for `Prefer: wait`."""
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    with httpx2.Client(base_url=stack.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def healthy_afterwards(stack: Stack) -> Iterator[None]:
    """For tests that kill parts of the stack: the next test starts when everything runs again."""
    yield
    for name in (*SERVERS, "api", "worker-1", "worker-2"):
        run_apart(lambda name=name: stack.wait_healthy(name))  # type: ignore[misc]
