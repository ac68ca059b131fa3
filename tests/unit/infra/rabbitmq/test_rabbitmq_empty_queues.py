"""What slots remember about their queues: which to ask again, and when. Part of C5."""

from converto_infra.rabbitmq.empty_queues import BURST_LOOK_S, BURST_S, QUIET_S, EmptyQueues
from tests.unit.infra.conftest import ManualClock

NAMES = ("high", "normal", "bulk")


def test_unknown_queues_are_worth_asking(clock: ManualClock) -> None:
    assert EmptyQueues(clock).worth_asking(NAMES) == list(NAMES)


def test_empty_queue_is_left_out_for_a_moment(clock: ManualClock) -> None:
    queues = EmptyQueues(clock)
    queues.saw_empty("high")

    assert queues.worth_asking(NAMES) == ["normal", "bulk"]
    clock.now_s += QUIET_S
    assert queues.worth_asking(NAMES) == ["high", "normal", "bulk"]


def test_queue_that_delivered_is_asked_at_once(clock: ManualClock) -> None:
    queues = EmptyQueues(clock)
    queues.saw_empty("high")
    queues.saw_message("high")

    assert queues.worth_asking(NAMES) == ["high", "normal", "bulk"]


def test_message_starts_a_short_burst(clock: ManualClock) -> None:
    queues = EmptyQueues(clock)
    queues.saw_message("normal")

    assert queues.in_burst(NAMES) == ["normal"]
    clock.now_s += BURST_S
    assert queues.in_burst(NAMES) == []


def test_only_one_slot_asks_during_a_burst(clock: ManualClock) -> None:
    queues = EmptyQueues(clock)
    queues.saw_message("normal")
    queues.saw_empty("normal")

    assert queues.in_burst(NAMES) == ["normal"]
    assert queues.next_in_burst(NAMES) == []
    clock.now_s += BURST_LOOK_S
    assert queues.next_in_burst(NAMES) == ["normal"]
