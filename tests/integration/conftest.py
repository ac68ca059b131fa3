"""Servers that only some integration tests need."""

from collections.abc import Iterator

import pytest

from deploy.local.errors import ProgramMissing
from tests.conftest import skip_or_fail
from tests.integration.secure_broker import SecureBroker, secure_broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A RabbitMQ with TLS and with the management API."""
    try:
        with secure_broker(tmp_path_factory.mktemp("secure-broker")) as running:
            yield running
    except ProgramMissing as missing:
        skip_or_fail(str(missing))
