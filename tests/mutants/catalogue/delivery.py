"""Faults in what the file service sends and answers: outbox, lost messages, idempotency, owners."""

from tests.mutants.mutant import Mutant

SENDER = "services/file_service/delivery/sender.py"
OUTBOX = "services/file_service/delivery/outbox.py"
DISPATCH = "services/file_service/delivery/dispatch.py"
IDEMPOTENCY = "services/file_service/http/idempotency.py"
RECORDS = "services/file_service/conversions/records.py"
OF_SWEEPS = ("tests/unit/file_service/housekeeping/test_sweeps.py",)
OF_IDEMPOTENCY = ("tests/unit/file_service/http/test_idempotency.py",)
OF_RECORDS = ("tests/unit/file_service/conversions",)

DELIVERY = (
    Mutant(
        name="a message is noted as published and never sent",
        file=SENDER,
        old="        await self._bus.publish(conversion_created(conversion))\n",
        new="",
        harm="no conversion starts",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="a confirmed publish is not noted",
        file=SENDER,
        old="        await self._conversions.apply(published(conversion, next_due_ms=next_due_ms))\n",
        new="",
        harm="the outbox floods the queue with the same message",
        tests=OF_SWEEPS,
        may_hang=True,
    ),
    Mutant(
        name="the outbox sends what its user has cancelled",
        file=SENDER,
        old="        if conversion.cancel_requested:\n",
        new="        if False:\n",
        harm="a conversion that was cancelled at the last moment stays pending for ever",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="messages are repeated at a steady rate",
        file=SENDER,
        old="doublings = min(published, MAX_DOUBLINGS)",
        new="doublings = 0",
        harm="a long queue fills with repeated messages",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="a retry does not wait",
        file=OUTBOX,
        old="due_ms=self._now_ms() + conversion.wait_ms)",
        new="due_ms=self._now_ms())",
        harm="a program that failed because the machine is short of memory is tried again at once",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="one refused message stops the outbox",
        file=OUTBOX,
        old="            await self._bus.ping()",
        new="            raise",
        harm="one missing queue keeps all other families waiting",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="messages in a queue count as lost",
        file="services/file_service/delivery/lost_messages.py",
        old="if not pending or await self._has_backlog(family, lane):",
        new="if not pending:",
        harm="a long queue doubles every five seconds",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="lost messages are never missed",
        file="services/file_service/delivery/lost_messages.py",
        old="sum([await self._check_queue(family, lane, failures) for family in Family for lane in Lane])",
        new="0",
        harm="conversions whose queue was purged wait for ten minutes",
        tests=OF_SWEEPS,
    ),
    Mutant(
        name="requests publish no message",
        file=DISPATCH,
        old="            await self._sender.send_or_postpone(conversion)\n",
        new="",
        harm="each conversion waits for the next sweep of the outbox",
        tests=OF_RECORDS,
    ),
    Mutant(
        name="a repeated request is served again",
        file=IDEMPOTENCY,
        old="is_first = kept.claim == claim.claim or self._takes_over(kept, claim)",
        new="is_first = True",
        harm="a client that repeats a request after a lost answer gets two conversions",
        tests=OF_IDEMPOTENCY,
    ),
    Mutant(
        name="a key may stand for two requests",
        file=IDEMPOTENCY,
        old="    if known.body_sha256 != claim.body_sha256:\n",
        new="    if False:\n",
        harm="another request with the same key gets an answer that is not its own",
        tests=OF_IDEMPOTENCY,
    ),
    Mutant(
        name="reserved ids are not used",
        file=IDEMPOTENCY,
        old="            answer = await work(claim.new_ids)\n",
        new="            answer = await work(_new_ids())\n",
        harm="a request that is repeated after a crash makes a second conversion",
        tests=OF_IDEMPOTENCY,
    ),
    Mutant(
        name="a failed request keeps its key",
        file=IDEMPOTENCY,
        old="            if not is_done:\n",
        new="            if False:\n",
        harm="a client whose request met an outage gets 409 for five seconds",
        tests=OF_IDEMPOTENCY,
    ),
    Mutant(
        name="records of other owners are shown",
        file=RECORDS,
        old="conversion = await self._conversions.get(conversion_id, owner=owner)\n",
        new="conversion = await self._conversions.get(conversion_id)\n",
        harm="an owner reads the files of another one",
        tests=OF_RECORDS,
    ),
    Mutant(
        name="results are handed out before the conversion is completed",
        file=RECORDS,
        old="        if conversion.status is not Status.COMPLETED:\n",
        new="        if False:\n",
        harm="a client gets an empty list of results instead of being told to wait",
        tests=OF_RECORDS,
    ),
    Mutant(
        name="a conversion that has ended may be cancelled",
        file=RECORDS,
        old="            if conversion.is_terminal:\n",
        new="            if False:\n",
        harm="the answer blames changes that nobody made, and asks for a repetition",
        tests=OF_RECORDS,
    ),
    Mutant(
        name="a leader that the file service ends tells no waiter",
        file=SENDER,
        old="        await self._waiters.release_all(conversion)\n",
        new="",
        harm="identical conversions wait for up to a minute after the first one was cancelled or has failed",
        tests=("tests/unit/file_service/housekeeping/test_reaper.py",),
    ),
)
