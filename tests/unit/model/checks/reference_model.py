"""The reference model: what must hold for a conversion, checked at each change in the database.

It sees the changes in database order, with the process that made each and the true time, and trusts no process.
"""

import hashlib
from collections import Counter
from collections.abc import Callable

from converto_core.conversion.change import Change
from converto_core.conversion.history import Entry
from converto_core.conversion.record import TERMINAL, Conversion, HistoryEvent, Lane, Output, Status
from converto_core.events import conversion_created
from converto_core.object_keys import OutputKey, parse_key
from converto_infra.settings import Settings
from tests.unit.model.checks.facts import Facts
from tests.unit.model.links import ACTOR, Sender
from tests.unit.model.requests import Creation

WORKER, HOUSEKEEPER, API = "worker", "housekeeper", "api"
ROUNDING_S = 1e-6  # the reaper wakes exactly when the lease has ended

# Written by hand, so that a mistake in `TRANSITIONS` is found.
A, PE, PR = Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING
CO, FA, CA, EX = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED
ALLOWED = {
    (A, PE): {API, HOUSEKEEPER}, (A, FA): {API, HOUSEKEEPER}, (A, CA): {API}, (A, EX): {HOUSEKEEPER},
    (A, CO): {API, HOUSEKEEPER},
    (PE, PE): {API, HOUSEKEEPER, WORKER}, (PE, PR): {WORKER}, (PE, CA): {API, WORKER, HOUSEKEEPER},
    (PR, PR): {WORKER, API}, (PR, PE): {WORKER, HOUSEKEEPER}, (PR, CO): {WORKER}, (PR, FA): {WORKER, HOUSEKEEPER},
    (PR, CA): {WORKER, HOUSEKEEPER},
    (CO, EX): {HOUSEKEEPER}, (CO, CO): {API, WORKER}, (CO, PE): {API},
    (FA, PE): {API}, (CA, PE): {API}, (EX, PE): {API},
}  # fmt: skip


class Account:
    """The expected state of one conversion since its user last requested it."""

    def __init__(self, record: Conversion) -> None:
        self.record = record
        self.holders: dict[int, Sender] = {}  # by token: the worker that claimed it
        self.beat_at = 0.0
        self.steps: list[tuple[HistoryEvent, Status, int]] = []  # what its history has to say
        self.retries = 0
        self.came_back = False
        self.start()

    def start(self) -> None:
        """Reset the counters: the user has requested it (again)."""
        self.failures, self.losses, self.published, self.completions = 0, 0, 0, 0
        self.cancel_asked = False


class ReferenceModel:
    """Keeps an account of each conversion and records every violation."""

    def __init__(
        self,
        settings: Settings,
        facts: Facts,
        *,
        now_s: Callable[[], float],
        start_ms: int,
        body_of: Callable[[str], bytes | None],
        was_sent: Callable[[str], bool],
        history_of: Callable[[str], list[Entry]],
    ) -> None:
        """`now_s` is the true time, which no process has, counted from `start_ms`.

        `body_of` takes an object key, `was_sent` the id of a message, `history_of` that of a conversion.
        """
        self.accounts: dict[str, Account] = {}
        self.removed: set[str] = set()
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self.trace = hashlib.blake2b(digest_size=16)  # of all changes and their times: the same for the same run
        self._settings, self._facts, self._now_s, self._start_ms = settings, facts, now_s, start_ms
        self._body_of, self._began_s = body_of, now_s()
        self._was_sent, self._history_of = was_sent, history_of

    def inserted(self, record: Conversion) -> None:
        self.seen["inserted again after its removal"] += record.id in self.removed
        self.accounts[record.id] = Account(record)
        # An insert that was under way at the DELETE: nothing in it can tell. Its history is that of both lives.
        self.accounts[record.id].came_back = record.id in self.removed
        others = {one for one in self._facts.same_key(record.id) if one in self.accounts or one in self.removed}
        self._holds(others <= {record.id}, self.accounts[record.id], f"one key made {record.id} and {others}")

    def deleted(self, conversion_id: str) -> None:
        account, role = self.accounts.pop(conversion_id), ACTOR.get().role
        self.removed.add(conversion_id)
        status = account.record.status
        self.seen[f"{role}: {status} deleted"] += 1
        self._holds(status in TERMINAL, account, "deleted before it had ended")
        is_asked = conversion_id in self._facts.removals if role == API else status in TERMINAL - {CO}
        self._holds(is_asked, account, f"{role} deleted it although nobody asked")
        if role == HOUSEKEEPER:
            self._is_old(account, account.record.completed_at, self._settings.failure_retention_s)
        self._has_its_history(account)

    def waiting_for(self, file_id: str) -> dict[str, tuple[int, int]]:
        """The conversions of a file that no worker has begun, with what changes when they begin anew."""
        accounts = [account for account in self.accounts.values() if account.record.file_id == file_id]
        return {one.record.id: (one.record.token, one.retries) for one in accounts if one.record.status in {A, PE}}

    def file_deleted(self, file_id: str, waiting: dict[str, tuple[int, int]]) -> None:
        """Check, when the user is told so, that nothing waits any more of what waited at the request."""
        left = [one for one, seen in self.waiting_for(file_id).items() if waiting.get(one) == seen]
        self.violations.extend(f"{one} still waits for the deleted file {file_id}" for one in left)

    def object_deleted(self, key: str) -> None:
        """Check that no completed conversion loses an output: its record has to be gone, or changed, before."""
        place = parse_key(key)
        account = self.accounts.get(place.conversion_id) if isinstance(place, OutputKey) else None
        if account is not None and account.record.status is CO:
            is_output = key in {output.key for output in account.record.outputs}
            self._holds(not is_output, account, f"{ACTOR.get().role} deleted its output {key}")

    def changed(self, change: Change, after: Conversion) -> None:
        """Check one change against the account, then enter it."""
        account, role = self.accounts[change.id], ACTOR.get().role
        before = account.record
        step = (before.status, after.status)
        self.trace.update(
            f"{self._now_s()} {ACTOR.get()} {after.id} {step} {after.token} {after.updated_at}\n".encode()
        )
        self.seen[f"{role}: {before.status} -> {after.status}" + (f" ({change.event})" if change.event else "")] += 1
        self._holds(
            role in ALLOWED.get(step, set()), account, f"{role} made the step {before.status} -> {after.status}"
        )
        self._holds(after.token == before.token + (step == (PE, PR)), account, f"token {before.token} -> {after.token}")
        if role == WORKER and before.status is PR and change.increase != {"followers": 1}:
            self._only_the_holder(account)
        if role == HOUSEKEEPER and before.status is PR:
            silent_s = self._now_s() - account.beat_at
            is_silent = silent_s >= ACTOR.get().lease_s - ROUNDING_S
            self._holds(is_silent, account, f"reaped {silent_s:.1f} s after a beat")
        entries: dict[Status, Callable[[Account, Conversion], None]] = {
            PE: self._enter_pending, PR: self._enter_processing, CO: self._enter_completed, FA: self._enter_failed,
            CA: self._enter_cancelled, EX: self._enter_expired,
        }  # fmt: skip
        entries[after.status](account, after)
        if change.event is not None:
            account.steps.append((change.event, after.status, after.token))
        account.record = after
        self._always(account)

    def _only_the_holder(self, account: Account) -> None:
        holder = account.holders.get(account.record.token)
        self._holds(holder is ACTOR.get(), account, f"{ACTOR.get()} changed what {holder} holds")

    def _enter_pending(self, account: Account, after: Conversion) -> None:
        before = account.record
        if before.status in {CO, FA, CA, EX}:
            account.start()
            account.retries += 1
            asked = self._facts.retries[account.record.id]
            self._holds(account.retries <= asked, account, f"retried {account.retries} times, asked {asked} times")
            self._holds(not after.outputs, account, "started again with old outputs")
            self._holds(after.wait_ms is None, account, f"started again with an old wait of {after.wait_ms} ms")
        if before.status is PE:
            account.published += after.published > before.published
            is_waiter = before.waits_for is not None
            self._holds(is_waiter or ACTOR.get().role != WORKER, account, "a worker moved what waits for no leader")
        if before.status is PR:
            account.published = 0
            account.losses += ACTOR.get().role == HOUSEKEEPER
            account.failures += len(after.errors) > len(before.errors)
        self._holds(after.attempt == account.failures, account, f"attempt {after.attempt}, failed {account.failures}")
        self._holds(after.lost == account.losses, account, f"lost {after.lost}, reaped {account.losses}")
        self._holds(after.published == account.published, account, f"published {after.published}")
        self._holds(account.losses < 2 or after.lane is Lane.QUARANTINE, account, "lost twice and not in quarantine")
        self._holds(after.attempt < self._settings.max_attempts, account, "retried too often")
        self._holds(after.lost < self._settings.max_lost, account, "lost too often and not failed")

    def _enter_processing(self, account: Account, after: Conversion) -> None:
        before = account.record
        if before.status is PE:
            self._holds(not account.cancel_asked, account, "claimed after its user cancelled it")
            self._holds(after.attempt == account.failures + 1, account, f"attempt {after.attempt} at claim")
            self._holds(
                self._was_sent(conversion_created(before).message_id),
                account,
                "claimed with a message never sent",
            )
            account.holders[after.token] = ACTOR.get()
            account.published = 0
        else:
            self._holds(after.percent >= before.percent, account, f"percent {before.percent} -> {after.percent}")
            self._holds(after.beat - before.beat in {0, 1}, account, f"beat {before.beat} -> {after.beat}")
        if after.beat > before.beat:
            account.beat_at = self._now_s()
        account.cancel_asked = account.cancel_asked or after.cancel_requested

    def _enter_completed(self, account: Account, after: Conversion) -> None:
        if account.record.status is CO:
            self._holds(after.result_lost_at is None, account, "its result was called lost, and is there")
            return
        account.completions += 1
        self._holds(account.completions == 1, account, "completed twice")
        self._holds(bool(after.outputs), account, "completed without an output")
        own = f"t/{after.owner}/out/{after.id}/{after.token}/"
        self._holds(all(output.key.startswith(own) for output in after.outputs), account, f"no outputs of {own}")
        self.seen["copied"] += after.cached_from is not None
        self._has_right_outputs(account, after)

    def _has_right_outputs(self, account: Account, record: Conversion) -> None:
        bodies = [self._body_of(output.key) for output in record.outputs]
        right = self._facts.results_of(record.file_id)
        described = [_is_described(output, body) for output, body in zip(record.outputs, bodies, strict=True)]
        keys = [output.key for output in record.outputs]
        self._holds(None not in bodies, account, f"completed, but of {keys} there is only {bodies}")
        self._holds(tuple(bodies) in right, account, f"completed with {bodies}, which is of another source")
        self._holds(all(described), account, f"{record.outputs} do not describe {bodies}")

    def _enter_failed(self, account: Account, after: Conversion) -> None:
        if account.record.status is not PR:
            self._holds(self._facts.is_wrong(after.file_id), account, f"refused ({after.error_code}) a good upload")
        elif ACTOR.get().role == HOUSEKEEPER:
            self._holds(account.losses + 1 == self._settings.max_lost, account, "failed before its last permitted loss")
        elif after.is_hopeless:
            fault = self._facts.unexplained(after.file_id, after.error_code)
            self._holds(fault is None, account, f"failed wrongly: {fault}")
        else:
            tries = account.failures + 1
            self._holds(tries == self._settings.max_attempts, account, f"failed after {tries} tries")

    def _enter_cancelled(self, account: Account, after: Conversion) -> None:
        asked = after.id in self._facts.cancels or after.file_id in self._facts.file_removals
        self._holds(asked, account, "cancelled without a request")

    def _enter_expired(self, account: Account, after: Conversion) -> None:
        self._holds(not after.outputs, account, "expired with outputs")
        before, limits = account.record, self._settings
        if before.status is A:
            self._is_old(account, before.created_at, limits.upload_deadline_s)
        elif before.file_id not in self._facts.file_removals:
            self._is_old(account, before.completed_at, limits.result_retention_s)

    def _is_old(self, account: Account, since_ms: int | None, age_s: float) -> None:
        """Check an age. Whatever dated the record: housekeeping must not believe a clock that is ahead."""
        reached_s = self._now_s() - ((since_ms or 0) - self._start_ms) / 1000
        self._holds(reached_s >= age_s, account, f"too young to be removed: {reached_s} s of {age_s} s")

    def _always(self, account: Account) -> None:
        record = account.record
        is_waiting = record.status is PE
        self._holds(not is_waiting or record.publish_due is not None, account, "pending without a message that is due")
        self._holds(not is_waiting or record.family is not None, account, "pending without a plan")
        self._holds(is_waiting or record.publish_due is None, account, "a message is due and it does not wait")
        self._holds(0 <= record.attempt <= self._settings.max_attempts, account, f"attempt {record.attempt}")
        self._holds(0 <= record.lost <= self._settings.max_lost, account, f"lost {record.lost}")

    def at_rest(self) -> None:
        """Check that every visible result exists; called whenever all processes wait and something has changed."""
        for account in self.accounts.values():
            if account.record.status is CO:
                self._has_right_outputs(account, account.record)

    def at_the_end(self) -> None:
        """Check what every record and every client may expect when all faults are over."""
        for account in self.accounts.values():
            self._holds(account.record.is_terminal, account, "stuck")
            self._has_its_history(account)
        for creation in self._facts.creations:
            self._is_kept(creation)
            self.seen["answers replayed"] += sum(answer.is_replayed for answer in creation.answers)
            self.seen["requests in flight"] += creation.refusals["request_in_flight"]

    def _is_kept(self, creation: Creation) -> None:
        told = {answer.body.decode() for answer in creation.answers if answer.status == 201}
        made = {one for one in creation.ids if one in self.accounts or one in self.removed}
        if len(told) > 1 or len(made) > 1:
            self.violations.append(f"{creation.key}: one key made {made}, told were {told}")
        if lost := told - made:
            self.violations.append(f"{creation.key}: {lost} was accepted and is lost")

    def _has_its_history(self, account: Account) -> None:
        if account.came_back or self._now_s() - self._began_s > self._settings.history_retention_s / 2:
            return
        entries = self._history_of(account.record.id)
        told = [(entry.event, entry.status, entry.token) for entry in entries]
        self._holds(told == account.steps, account, f"its history says {told} instead of {account.steps}")
        numbers = [entry.number for entry in entries]
        self._holds(numbers == list(range(2, 2 + len(entries))), account, f"its history is numbered {numbers}")

    def _holds(self, condition: bool, account: Account, what: str) -> None:
        if not condition:
            self.violations.append(f"{account.record.id} ({account.record.status}, {account.record.token}): {what}")


def _is_described(output: Output, body: bytes | None) -> bool:
    if body is None:
        return False
    return (output.size_bytes, output.sha256) == (len(body), hashlib.sha256(body).hexdigest())
