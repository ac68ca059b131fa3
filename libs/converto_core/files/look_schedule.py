"""When the file service looks, without being asked, whether an upload has arrived.

Most clients confirm their uploads, and S3 events report the rest; a look finds what neither has reported.
"""

import msgspec

from converto_core.files.record import File


class LookSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The ages at which an upload is looked at (seconds, ascending), and how long the URLs of clients are valid."""

    ages_s: tuple[float, ...]
    url_ttl_s: float

    def first(self, created_at: int) -> int | None:
        """Return the time of the first look (ms), None if there is none."""
        return self.next(created_at, now_ms=created_at)

    def next(self, created_at: int, *, now_ms: int) -> int | None:
        """Return the time of the first look after `now_ms`; None after the last one, which leaves the deadline."""
        times = (created_at + int(age_s * 1000) for age_s in self.ages_s)
        return next((time for time in times if time > now_ms), None)

    @property
    def longest_ms(self) -> int:
        """The longest time from any date that a look can be away."""
        return int(max((*self.ages_s, self.url_ttl_s)) * 1000)

    def with_new_urls(self, file: File, *, now_ms: int) -> int | None:
        """Return the time of the next look at an upload whose client gets new URLs now.

        Nothing is sent after the URLs have expired, so an upload that takes hours is looked at then.
        """
        expiry_ms = now_ms + int(self.url_ttl_s * 1000)
        return expiry_ms if file.look_due is None or file.look_due > expiry_ms else file.look_due
