"""What the broker said last against messages: in health until a publish is confirmed, and never for ever."""

import pytest
from aiormq.exceptions import ChannelAccessRefused, DeliveryError

from converto_core.errors import BusUnavailable
from converto_infra.rabbitmq.refusals import FORGOTTEN_AFTER_S, Refusals
from tests.unit.fake_clock import FakeClock

ACCESS_REFUSED = "ACCESS_REFUSED - write access to exchange 'converto.events' in vhost '/' refused for user 'converto'"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def refusals(clock: FakeClock) -> Refusals:
    return Refusals(clock.monotonic)


def unavailable(cause: BaseException) -> BusUnavailable:
    error = BusUnavailable(detail="broker: it said no")
    error.__cause__ = cause
    return error


def test_missing_permission_is_told_with_the_remedy(refusals: Refusals) -> None:
    refusals.refused(unavailable(ChannelAccessRefused(ACCESS_REFUSED)))

    (fault,) = refusals.faults
    assert fault.startswith(f"RabbitMQ refused a message: {ACCESS_REFUSED}. Give the user")
    assert "rabbitmqctl set_permissions" in fault


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("low on memory", "memory alarm (low on memory). Free memory"),
        ("low on disk", "disk alarm (low on disk). Free disk"),
        ("something new", "alarm (something new). Look at its alarms"),
    ],
)
def test_alarm_is_told_with_the_remedy(refusals: Refusals, reason: str, words: str) -> None:
    refusals.blocked(reason)

    (fault,) = refusals.faults
    assert fault.startswith(f"RabbitMQ accepts no messages: {words}")


def test_negative_confirmation_is_told(refusals: Refusals) -> None:
    refusals.refused(unavailable(DeliveryError(None, None)))

    (fault,) = refusals.faults
    assert "basic.nack" in fault


@pytest.mark.parametrize("cause", [TimeoutError(), ConnectionResetError()])
def test_outage_is_no_refusal(refusals: Refusals, cause: Exception) -> None:
    """The ping of the broker tells that, and it ends with the outage."""
    refusals.refused(unavailable(cause))

    assert refusals.faults == ()


def test_only_an_alarm_blocks(refusals: Refusals) -> None:
    refusals.refused(unavailable(ChannelAccessRefused(ACCESS_REFUSED)))
    assert not refusals.is_blocked

    refusals.blocked("low on memory")
    assert refusals.is_blocked

    refusals.confirmed()
    assert not refusals.is_blocked


def test_confirmed_publish_clears_the_refusal(refusals: Refusals) -> None:
    refusals.blocked("low on memory")

    refusals.confirmed()

    assert refusals.faults == ()


def test_refusal_is_forgotten_without_a_new_one(refusals: Refusals, clock: FakeClock) -> None:
    refusals.blocked("low on memory")
    clock.advance(FORGOTTEN_AFTER_S - 1)
    assert refusals.faults
    refusals.blocked("low on memory")
    clock.advance(FORGOTTEN_AFTER_S - 1)
    assert refusals.faults

    clock.advance(2)

    assert refusals.faults == ()
