"""The reference model: what must hold for a conversion, checked at each change in the database.

It sees the changes in database order, with the process that made each and the true time, and trusts no process.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from converto_core.conversion.change import Change
from converto_core.conversion.record import TERMINAL, Conversion, Lane, Status
from converto_core.events import conversion_created
from converto_core.ports.stores import HistoryStore
from converto_infra.memory.collection import MemoryServer
from converto_infra.memory.conversions import MemoryConversionStore
from converto_infra.settings import Settings
from tests.unit.model.links import ACTOR

WORKER, HOUSEKEEPER, API = "worker", "housekeeper", "api"

# Written by hand, so that a mistake in `TRANSITIONS` is found.
A, PE, PR = Status.AWAITING_UPLOAD, Status.PENDING, Status.PROCESSING
CO, FA, CA, EX = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED
ALLOWED = {
    (A, PE): {API, HOUSEKEEPER}, (A, FA): {API, HOUSEKEEPER}, (A, CA): {API}, (A, EX): {HOUSEKEEPER},
    (PE, PE): {API, HOUSEKEEPER}, (PE, PR): {WORKER}, (PE, CA): {API, WORKER, HOUSEKEEPER},
    (PR, PR): {WORKER, API}, (PR, PE): {WORKER, HOUSEKEEPER}, (PR, CO): {WORKER}, (PR, FA): {WORKER, HOUSEKEEPER},
    (PR, CA): {WORKER, HOUSEKEEPER},
    (CO, EX): {HOUSEKEEPER}, (CO, CO): {API, WORKER}, (CO, PE): {API},
    (FA, PE): {API}, (CA, PE): {API}, (EX, PE): {API},
}  # fmt: skip


class Account:
    """The expected state of one conversion since its user last requested it."""

    def __init__(self, record: Conversion) -> None:
        self.record = record
        self.holders: dict[int, Any] = {}  # by token: the worker that claimed it
        self.beat_at = 0.0
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
        *,
        now: Callable[[], float],
        has_object: Callable[[str], bool],
        was_sent: Callable[[str], bool],
    ) -> None:
        """`now` is the true time in seconds, which no process has; `was_sent` takes a message id."""
        self.accounts: dict[str, Account] = {}
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self._settings, self._now, self._has_object = settings, now, has_object
        self._was_sent = was_sent

    def inserted(self, record: Conversion) -> None:
        self.accounts[record.id] = Account(record)

    def deleted(self, conversion_id: str) -> None:
        account = self.accounts.pop(conversion_id)
        self._holds(account.record.status in TERMINAL, account, "deleted before it had ended")

    def changed(self, change: Change, after: Conversion) -> None:
        """Check one change against the account, then enter it."""
        account, role = self.accounts[change.id], ACTOR.get().role
        before = account.record
        step = (before.status, after.status)
        self.seen[f"{role}: {before.status} -> {after.status}"] += 1
        self._holds(
            role in ALLOWED.get(step, set()), account, f"{role} made the step {before.status} -> {after.status}"
        )
        self._holds(after.token == before.token + (step == (PE, PR)), account, f"token {before.token} -> {after.token}")
        if role == WORKER and before.status is PR:
            self._only_the_holder(account)
        if role == HOUSEKEEPER and before.status is PR:
            silent_s = self._now() - account.beat_at
            self._holds(silent_s >= ACTOR.get().lease_s, account, f"reaped {silent_s:.1f} s after a beat")
        entries: dict[Status, Callable[[Account, Conversion], None]] = {
            PE: self._enter_pending, PR: self._enter_processing, CO: self._enter_completed, FA: self._enter_failed,
            CA: self._enter_cancelled, EX: self._enter_expired,
        }  # fmt: skip
        entries[after.status](account, after)
        account.record = after
        self._always(account)

    def _only_the_holder(self, account: Account) -> None:
        holder = account.holders.get(account.record.token)
        self._holds(holder is ACTOR.get(), account, f"{ACTOR.get()} changed what {holder} holds")

    def _enter_pending(self, account: Account, after: Conversion) -> None:
        before = account.record
        if before.status in {CO, FA, CA, EX}:
            account.start()
            self._holds(not after.outputs, account, "started again with old outputs")
        if before.status is PE:
            account.published += after.published > before.published
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
            account.beat_at = self._now()
        account.cancel_asked = account.cancel_asked or after.cancel_requested

    def _enter_completed(self, account: Account, after: Conversion) -> None:
        if account.record.status is CO:
            return  # its result was lost, or is there again
        account.completions += 1
        self._holds(account.completions == 1, account, "completed twice")
        self._holds(bool(after.outputs), account, "completed without an output")
        own = f"t/{after.owner}/out/{after.id}/{after.token}/"
        for output in after.outputs:
            self._holds(output.key.startswith(own), account, f"the output {output.key} is of another token")
            self._holds(self._has_object(output.key), account, f"completed before {output.key} was there")

    def _enter_failed(self, account: Account, after: Conversion) -> None:
        if account.record.status is not PR:
            return
        if ACTOR.get().role == HOUSEKEEPER:
            self._holds(account.losses + 1 == self._settings.max_lost, account, "failed before its last permitted loss")
        elif after.error_code != "source_corrupt":
            tries = account.failures + 1
            self._holds(tries == self._settings.max_attempts, account, f"failed after {tries} tries")

    def _enter_cancelled(self, account: Account, after: Conversion) -> None:
        asked = account.cancel_asked or ACTOR.get().role == API
        self._holds(asked, account, "cancelled without a request")

    def _enter_expired(self, account: Account, after: Conversion) -> None:
        self._holds(not after.outputs, account, "expired with outputs")

    def _always(self, account: Account) -> None:
        record = account.record
        is_waiting = record.status is PE
        self._holds(not is_waiting or record.publish_due is not None, account, "pending without a message that is due")
        self._holds(not is_waiting or record.family is not None, account, "pending without a plan")
        self._holds(0 <= record.attempt <= self._settings.max_attempts, account, f"attempt {record.attempt}")
        self._holds(0 <= record.lost <= self._settings.max_lost, account, f"lost {record.lost}")

    def at_rest(self) -> None:
        """Check that every visible result exists; called whenever all processes wait."""
        for account in self.accounts.values():
            if account.record.status is CO:
                missing = [output.key for output in account.record.outputs if not self._has_object(output.key)]
                self._holds(not missing, account, f"completed, but {missing} is gone")

    def _holds(self, condition: bool, account: Account, what: str) -> None:
        if not condition:
            self.violations.append(f"{account.record.id} ({account.record.status}, {account.record.token}): {what}")


class CheckedConversions(MemoryConversionStore):
    """The database in memory; the model checks each change at the moment it is made."""

    def __init__(self, server: MemoryServer, history: HistoryStore, model: ReferenceModel) -> None:
        super().__init__(server, history)
        self._model = model

    async def insert(self, conversion: Conversion) -> None:
        await super().insert(conversion)
        self._model.inserted(conversion)

    async def apply(self, change: Change) -> Conversion | None:
        after = await super().apply(change)
        if after is not None:
            self._model.changed(change, after)
        return after

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        was_there = await super().delete_unchanged(conversion)
        if was_there:
            self._model.deleted(conversion.id)
        return was_there
