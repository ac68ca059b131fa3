"""When the file service looks at an upload that nobody has confirmed (C7)."""

from converto_core.files.look_schedule import LookSchedule
from converto_core.files.record import File

SCHEDULE = LookSchedule(ages_s=(60, 300, 900), url_ttl_s=900)
MINUTE_MS = 60_000


def a_file(look_due: int | None) -> File:
    return File(
        id="f", owner="ann", filename="a.txt", extension="txt", size_bytes=3, key="k",
        created_at=0, updated_at=0, look_due=look_due,
    )  # fmt: skip


def test_looks_follow_the_ages_and_end() -> None:
    due, times = SCHEDULE.first(1000), []
    while due is not None:
        times.append(due - 1000)
        due = SCHEDULE.next(len(times), now_ms=due)

    assert times == [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS]


def test_late_look_delays_the_others_and_skips_none() -> None:
    assert SCHEDULE.next(1, now_ms=60 * MINUTE_MS) == 64 * MINUTE_MS
    assert SCHEDULE.next(2, now_ms=64 * MINUTE_MS) == 74 * MINUTE_MS
    assert SCHEDULE.next(3, now_ms=74 * MINUTE_MS) is None


def test_schedule_without_ages_never_looks() -> None:
    assert LookSchedule(ages_s=(), url_ttl_s=900).first(0) is None


def test_new_urls_bring_a_late_look_forward() -> None:
    """An upload that takes hours is looked at when the last URLs expire."""
    hour_ms = 60 * MINUTE_MS

    assert SCHEDULE.with_new_urls(a_file(12 * hour_ms), now_ms=hour_ms) == hour_ms + 15 * MINUTE_MS
    assert SCHEDULE.with_new_urls(a_file(None), now_ms=hour_ms) == hour_ms + 15 * MINUTE_MS


def test_new_urls_do_not_delay_an_early_look() -> None:
    assert SCHEDULE.with_new_urls(a_file(5 * MINUTE_MS), now_ms=2 * MINUTE_MS) == 5 * MINUTE_MS
