"""How PyMongo errors are translated. Uses the driver's own lock, so that an upgrade which changes it fails here."""

import pytest
from pymongo._asyncio_lock import Condition, Lock

from converto_core.errors import StoreUnavailable
from converto_infra.mongo.collection import translated


def test_release_of_a_confused_lock_is_unavailability() -> None:
    """C8. Found by the chaos suite: users got 500 instead of 503 while the database was down."""
    with pytest.raises(StoreUnavailable), translated():
        Lock().release()


async def test_wait_on_a_confused_lock_is_unavailability() -> None:
    with pytest.raises(StoreUnavailable), translated():
        await Condition(Lock()).wait()


def test_error_in_our_own_code_passes_unchanged() -> None:
    with pytest.raises(RuntimeError, match="of ours"), translated():
        raise RuntimeError("a bug of ours")
