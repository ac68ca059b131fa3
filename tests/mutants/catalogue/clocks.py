"""Faults in what is made of dates: those of a clock that was ahead are obeyed, or right ones are not."""

from tests.mutants.mutant import Mutant

FUTURE_DATES = "services/file_service/delivery/future_dates.py"
LOST_MESSAGES = "services/file_service/delivery/lost_messages.py"
WAITING_UPLOADS = "services/file_service/housekeeping/waiting_uploads.py"
BACKOFF = "services/file_service/housekeeping/backoff.py"
TRUSTED_TIME = "services/file_service/housekeeping/trusted_time.py"
LIVE_WORKERS = "services/file_service/conversions/live_workers.py"
ACCESS = "libs/converto_core/access.py"
OF_DATES = ("tests/unit/file_service/housekeeping/test_future_dates.py",)

CLOCKS = (
    Mutant(
        name="a message from the future is obeyed",
        file=FUTURE_DATES,
        old="            count += await self._send(now_ms + wait_ms + MARGIN_MS, published=published)\n",
        new="            pass\n",
        harm="an hour by which one clock was ahead is an hour in which conversions are stuck",
        tests=OF_DATES,
    ),
    Mutant(
        name="long right waits count as the future",
        file=FUTURE_DATES,
        old="self._waits_ms.append(max(wait_ms, LONGEST_WORKER_WAIT_MS))",
        new="self._waits_ms.append(LONGEST_WORKER_WAIT_MS)",
        harm="a backlog gets the same messages again and again",
        tests=OF_DATES,
    ),
    Mutant(
        name="dates are judged by one clock",
        file=TRUSTED_TIME,
        old="        return max(await self._both_ms())\n",
        new="        return self.own_ms()\n",
        harm="a process whose clock lags sends the messages of all others again and again",
        tests=OF_DATES,
    ),
    Mutant(
        name="a change from the future hides a lost message",
        file=LOST_MESSAGES,
        old="        return old or await",
        new="        return old if True else await",
        harm="a conversion waits for minutes for a message that is lost",
        tests=OF_DATES,
    ),
    Mutant(
        name="an upload from the future is not looked at",
        file=WAITING_UPLOADS,
        old="if not file.looks and file.look_due is not None and file.look_due > first_ms:",
        new="if False:",
        harm="an upload waits for as long as a clock was ahead",
        tests=OF_DATES,
    ),
    Mutant(
        name="an upload from the future is looked at in each sweep",
        file=WAITING_UPLOADS,
        old="self._looks.next(looks, now_ms=now_ms)",
        new="self._looks.first(file.created_at)",
        harm="the object store is asked every few seconds for each upload",
        tests=OF_DATES,
    ),
    Mutant(
        name="a look from the future is obeyed",
        file=WAITING_UPLOADS,
        old="        for file in await self._looks_from(latest_ms, limit=BATCH):\n",
        new="        for file in ():\n",
        harm="an upload waits for as long as a clock was ahead",
        tests=OF_DATES,
    ),
    Mutant(
        name="a pause from the future is obeyed",
        file=BACKOFF,
        old="not 0 < failed.due_ms - self._now_ms() <= failed.pause_ms",
        new="failed.due_ms <= self._now_ms()",
        harm="a record that failed once is left alone for as long as a clock was ahead",
        tests=OF_DATES,
    ),
    Mutant(
        name="a reservation from the future is obeyed",
        file=ACCESS,
        old="is_young = abs(now_ms - self.claimed_at) <=",
        new="is_young = now_ms - self.claimed_at <=",
        harm="repeated requests are refused for as long as a clock was ahead",
        tests=("tests/unit/file_service/http/test_idempotency.py",),
    ),
    Mutant(
        name="a silent worker from the future is alive",
        file=LIVE_WORKERS,
        old="            and (worker.id not in future or future[worker.id].first_seen_s >= silent_since_s)\n",
        new="",
        harm="routes are offered that no worker serves, for as long as a clock was ahead",
        tests=("tests/unit/file_service/conversions/test_live_workers.py",),
    ),
)
