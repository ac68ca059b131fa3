"""Time of a rollout, so that tests need not wait."""

import time


class Clock:
    """Seconds that only go forward, and a way to wait."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a signal handler that raises ends the wait."""
        time.sleep(seconds)
