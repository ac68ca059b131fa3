"""What PyMongo raises, as the store tells it. The driver's own lock is asked, so that an upgrade is noticed."""

import pytest
from pymongo._asyncio_lock import Condition, Lock

from converto_core.errors import StoreUnavailable
from converto_infra.mongo.collection import translated


def test_driver_when_a_cancellation_confused_its_lock_then_the_database_is_unavailable() -> None:
    """C8. Found by the chaos suite: users were told 500 instead of 503 while the database was away."""
    with pytest.raises(StoreUnavailable), translated():
        Lock().release()


async def test_driver_when_it_waits_without_its_lock_then_the_database_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable), translated():
        await Condition(Lock()).wait()


def test_error_when_it_is_a_bug_of_ours_then_it_stays_one() -> None:
    with pytest.raises(RuntimeError, match="of ours"), translated():
        raise RuntimeError("a bug of ours")
