"""One stack without workers for all scenarios in which nothing is converted, or by a worker of the scenario only."""

from collections.abc import Iterator

import httpx2
import pytest

from deploy.local.errors import ProgramMissing
from deploy.local.stack.stack import SERVERS, Stack
from tests.conftest import IMPATIENT, client_of, running_stack, skip_or_fail

MIB = 1024**2
PART_BYTES = 5 * MIB
SMALL_PARTS = {
    "CONVERTO_PART_SIZE_BYTES": str(PART_BYTES),
    "CONVERTO_MULTIPART_THRESHOLD_BYTES": str(64 * MIB),
}


@pytest.fixture(scope="session")
def idle_stack() -> Iterator[Stack]:
    """Servers and file service; files above 64 MiB are sent in parts of five."""
    try:
        with running_stack("idle", (*SERVERS, "api"), settings={**IMPATIENT, **SMALL_PARTS}) as running:
            yield running
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def idle_http(idle_stack: Stack) -> Iterator[httpx2.Client]:
    """A client of that stack with its key."""
    with client_of(idle_stack, timeout_s=60) as client:
        yield client
