"""What slots remember of their queues: whom to ask again, and when. Part of C5."""

from converto_infra.rabbitmq.empty_queues import BURST_LOOK_S, BURST_S, QUIET_S, EmptyQueues

NAMES = ("high", "normal", "bulk")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_queue_when_nothing_is_known_then_worth_asking() -> None:
    assert EmptyQueues(Clock()).worth_asking(NAMES) == list(NAMES)


def test_queue_when_seen_empty_then_left_out_for_a_moment_and_asked_again() -> None:
    clock = Clock()
    lull = EmptyQueues(clock)
    lull.saw_empty("high")

    assert lull.worth_asking(NAMES) == ["normal", "bulk"]
    clock.now_s += QUIET_S
    assert lull.worth_asking(NAMES) == ["high", "normal", "bulk"]


def test_queue_when_it_gave_a_message_after_it_was_empty_then_asked_at_once() -> None:
    lull = EmptyQueues(Clock())
    lull.saw_empty("high")
    lull.saw_message("high")

    assert lull.worth_asking(NAMES) == ["high", "normal", "bulk"]


def test_burst_when_a_queue_gave_a_message_then_it_lasts_a_moment() -> None:
    clock = Clock()
    lull = EmptyQueues(clock)
    lull.saw_message("normal")

    assert lull.in_burst(NAMES) == ["normal"]
    clock.now_s += BURST_S
    assert lull.in_burst(NAMES) == []


def test_burst_when_a_slot_has_just_asked_then_no_other_asks_until_the_next_look() -> None:
    clock = Clock()
    lull = EmptyQueues(clock)
    lull.saw_message("normal")
    lull.saw_empty("normal")

    assert lull.in_burst(NAMES) == ["normal"]
    assert lull.next_in_burst(NAMES) == []
    clock.now_s += BURST_LOOK_S
    assert lull.next_in_burst(NAMES) == ["normal"]
