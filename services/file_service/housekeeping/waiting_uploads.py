"""Looks at uploads that nobody has confirmed: their client is gone, or the event of the object store was lost.

Works with every object store. With upload events it is the fallback; it also joins the parts of a large file whose
client died after the last part, of which no event tells.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from converto_core.conversion.record import Conversion
from converto_core.errors import DependencyUnavailable
from converto_core.files.look_schedule import LookSchedule
from converto_core.files.record import File, FileStatus
from converto_core.ports.stores import ConversionStore, FileStore
from file_service.housekeeping.backoff import Backoff
from file_service.housekeeping.failures import Failures
from file_service.housekeeping.paging import pages
from file_service.housekeeping.retention.removal import BATCH
from file_service.housekeeping.trusted_time import MAX_DIFFERENCE_MS, TrustedTime
from file_service.uploads.unattended import ConfirmUpload, Found, confirm_unattended

FIRST_PAUSE_S = 60.0
"""How long an upload that could not be looked at is left alone, if the schedule has no age."""
NEVER_MS = 2**53

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Round:
    """What one round has confirmed, and its failures: an upload that fails does not end it."""

    def __init__(self, confirm_upload: ConfirmUpload, failures: Failures) -> None:
        self.confirmed = 0
        self._confirm_upload, self._failures = confirm_upload, failures

    async def confirm(self, file_id: str) -> Found | None:
        """Return what was found; None after a failure. Raises `DependencyUnavailable` if a server is away."""
        found: Found | None = None
        async with self._failures.of(file_id):
            found = await confirm_unattended(self._confirm_upload, file_id, by="sweep")
        self.confirmed += found is Found.CONFIRMED
        return found


class WaitingUploads:
    """Confirms what has arrived. Of many processes one looks at an upload, once per age in the schedule."""

    def __init__(
        self,
        conversions: ConversionStore,
        files: FileStore,
        *,
        looks: LookSchedule,
        confirm_upload: ConfirmUpload | None,
        time: TrustedTime,
        now_ms: Callable[[], int],
    ) -> None:
        """Without `confirm_upload`, uploads are left to the file service. `time` decides which looks are due."""
        self._conversions = conversions
        self._files = files
        self._looks = looks
        self._confirm_upload = confirm_upload
        self._time = time
        self._now_ms = now_ms
        self._backoff = Backoff(now_ms, first_s=min(looks.ages_s, default=FIRST_PAUSE_S))
        self._checked_until_ms = 0
        self._all_checked_ms: int | None = None
        self._left_behind = set[str]()
        """Files whose conversions are still to be started."""

    async def sweep(self) -> int:
        """Look at all uploads that are due; returns how many files were confirmed.

        Raises the first failure after everything else has been done.
        """
        return await self._round(self._look_at_due, self._look_at_future, self._start_left_behind)

    async def look_at_all(self) -> int:
        """Look at every upload that waits, due or not; returns and raises like `sweep`.

        For operators, after hours without events.
        """
        return await self._round(self._look_at_waiting)

    async def _round(self, *parts: Callable[[_Round], Awaitable[None]]) -> int:
        if self._confirm_upload is None:
            return 0
        failures = Failures(self._backoff, check_outage=self._time.now_ms)
        this = _Round(self._confirm_upload, failures)
        for part in parts:
            try:
                await part(this)
            except DependencyUnavailable as error:
                failures.keep(error)
        failures.finish("waiting_uploads")
        return this.confirmed

    async def _look_at_waiting(self, this: _Round) -> None:
        now_ms = self._now_ms()

        async def read(from_ms: int, limit: int) -> list[File]:
            return await self._files.abandoned(created_from_ms=from_ms, created_before_ms=now_ms, limit=limit)

        async for page in pages(read, lambda one: one.created_at):
            for file in page:
                await this.confirm(file.id)

    async def _look_at_due(self, this: _Round) -> None:
        if not await self._files.to_look_at(now_ms=self._now_ms(), limit=1):
            return  # mostly; the object store is not asked for its time then
        now_ms = await self._time.now_ms()
        while due := await self._files.to_look_at(now_ms=now_ms, limit=BATCH):
            for file in due:
                await self._look_at(file, this, now_ms)
            if len(due) < BATCH:
                break

    async def _look_at_future(self, this: _Round) -> None:
        """Look at uploads whose record, or whose next look, was dated by a clock that was ahead."""
        own_ms = self._now_ms() + MAX_DIFFERENCE_MS
        if not await self._created_from(own_ms)(0, 1) and not await self._looks_from(own_ms, limit=1):
            return  # mostly
        now_ms, latest_ms = await self._time.now_ms(), await self._time.latest_ms() + MAX_DIFFERENCE_MS
        first_ms = self._looks.first(latest_ms) or NEVER_MS
        async for page in pages(self._created_from(latest_ms), lambda one: one.created_at):
            for file in page:
                if not file.looks and file.look_due is not None and file.look_due > first_ms:
                    await self._look_at(file, this, now_ms)
        for file in await self._looks_from(latest_ms, limit=BATCH):
            await self._look_at(file, this, now_ms)

    def _created_from(self, start_ms: int) -> Callable[[int, int], Awaitable[list[File]]]:
        async def read(from_ms: int, limit: int) -> list[File]:
            return await self._files.abandoned(
                created_from_ms=max(from_ms, start_ms), created_before_ms=NEVER_MS, limit=limit
            )

        return read

    async def _looks_from(self, start_ms: int, *, limit: int) -> list[File]:
        return await self._files.looks_after(start_ms + self._looks.longest_ms, limit=limit)

    async def _look_at(self, file: File, this: _Round, now_ms: int) -> None:
        """Look unless another process does.

        The look is taken for a minute first and postponed to its next age only when it has seen something: a process
        that dies in the middle, or meets an outage, must not postpone an upload by hours.
        """
        looks = file.looks + 1
        next_due_ms = self._looks.next(looks, now_ms=now_ms)
        taken = msgspec.structs.replace(file, look_due=_earlier(self._looks.first(now_ms), next_due_ms))
        if not await self._files.take_look(file, next_due_ms=taken.look_due):
            return
        found = await this.confirm(file.id)
        if found is None:
            next_due_ms = _earlier(self._backoff.due_ms(file.id), next_due_ms)
        if found in {None, Found.INCOMPLETE, Found.REFUSED}:
            await self._files.take_look(taken, next_due_ms=next_due_ms, looks=looks)
        if found is not None and found is not Found.INCOMPLETE:
            log.info("waiting_upload.found", file_id=file.id, found=found)

    async def _start_left_behind(self, this: _Round) -> None:
        """Start conversions that wait although their file is uploaded.

        A process died between the two updates, or no worker had registered yet. Each conversion is read once at each
        age of the schedule, and all of them after a start and once per longest age, because a clock that was behind may
        have dated one too early; those that cannot be started now are tried again.
        """
        now_ms = self._now_ms()
        is_all_due = self._all_checked_ms is None or now_ms - self._all_checked_ms > self._looks.longest_ms
        for from_ms, before_ms in self._unchecked_periods(now_ms, of_all=is_all_due):
            async for page in pages(self._waiting(from_ms, before_ms), lambda one: one.created_at):
                self._left_behind |= {file.id for file in await self._uploaded(page)}
        self._checked_until_ms = now_ms
        if is_all_due:
            self._all_checked_ms = now_ms
        for file_id in sorted(filter(self._backoff.is_due, self._left_behind)):
            found = await this.confirm(file_id)
            if found is not None:
                self._left_behind.discard(file_id)
                log.info("waiting_conversion.started", file_id=file_id, found=found)

    def _unchecked_periods(self, now_ms: int, *, of_all: bool) -> list[tuple[int, int]]:
        """Return the creation times (from, before) of conversions that have reached an age since the last sweep.

        With `of_all`, of those that have ever reached one.
        """
        ages_ms = [int(age_s * 1000) for age_s in self._looks.ages_s]
        future = (now_ms + MAX_DIFFERENCE_MS, NEVER_MS)  # dated by a clock that was ahead: their age is not known
        if of_all:
            return [*((0, now_ms - age_ms) for age_ms in ages_ms[:1]), future]
        return [*((self._checked_until_ms - age_ms, now_ms - age_ms) for age_ms in ages_ms), future]

    def _waiting(self, start_ms: int, before_ms: int) -> Callable[[int, int], Awaitable[list[Conversion]]]:
        async def read(from_ms: int, limit: int) -> list[Conversion]:
            return await self._conversions.awaiting_upload(
                created_from_ms=max(from_ms, start_ms), created_before_ms=before_ms, limit=limit
            )

        return read

    async def _uploaded(self, conversions: Sequence[Conversion]) -> list[File]:
        found = await self._files.get_many(list({one.file_id for one in conversions}))
        return [file for file in found if file.status is FileStatus.UPLOADED]


def _earlier(one_ms: int | None, other_ms: int | None) -> int | None:
    """Return the earlier of two times (ms), of which None is never."""
    return min((time_ms for time_ms in (one_ms, other_ms) if time_ms is not None), default=None)
