"""When the file service looks, without being asked, whether an upload has arrived.

Most clients confirm their uploads, and S3 events report the rest; a look finds what neither has reported.
"""

import msgspec

from converto_core.files.record import File


class LookSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The ages at which an upload is looked at (seconds, ascending), and how long the URLs of clients are valid.

    Only the first look is dated by the record, whose clock may have been wrong; each later one by the look before it.
    """

    ages_s: tuple[float, ...]
    url_ttl_s: float

    def first(self, created_at: int) -> int | None:
        """Return the time of the first look (ms), None if there is none."""
        return self.next(0, now_ms=created_at)

    def next(self, looks: int, *, now_ms: int) -> int | None:
        """Return the time (ms) of the look after `looks` of them, of which the last is now; None if it was the last."""
        if looks >= len(self.ages_s):
            return None
        before_s = self.ages_s[looks - 1] if looks else 0
        return now_ms + int((self.ages_s[looks] - before_s) * 1000)

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
