"""Which workers count as running, whatever their clocks show (behaviour M15)."""

from converto_core.catalogue import Worker
from file_service.conversions.live_workers import ALIVE_MS, LiveWorkers

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class Seen:
    """A judge of workers with clocks that the test moves."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.live = LiveWorkers(lambda: self.passed_s)

    def runs(self, seen_at: int) -> bool:
        worker = Worker(id="w", host="h", pid=1, started_at=0, seen_at=seen_at, slots=1, sandbox="off", offers=())
        return bool(self.live.of([worker], now_ms=NOW_MS + int(self.passed_s * 1000)))


def test_silent_worker_from_the_future_counts_as_stopped() -> None:
    seen = Seen()
    first = seen.runs(NOW_MS + HOUR_MS)
    seen.passed_s = ALIVE_MS / 1000 + 1

    assert (first, seen.runs(NOW_MS + HOUR_MS)) == (True, False)


def test_running_worker_whose_clock_is_ahead_stays_alive() -> None:
    seen = Seen()
    for number in range(20):
        seen.passed_s = number * 5.0
        assert seen.runs(NOW_MS + HOUR_MS + number * 5_000)


def test_worker_with_a_right_clock_is_judged_by_its_date() -> None:
    seen = Seen()

    assert seen.runs(NOW_MS - ALIVE_MS)
    assert not seen.runs(NOW_MS - ALIVE_MS - 1)
