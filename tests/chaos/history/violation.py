"""A broken promise, with the calls that prove it."""

from enum import StrEnum

import msgspec

from tests.chaos.history.call import Call


class Kind(StrEnum):
    """Which promise is broken; the decision page 0069 explains each one."""

    TWO_IDS = "two conversions for one idempotency key"
    TOO_MANY = "more conversions than requests"
    WENT_BACK = "the status went back"
    COMPLETED_TAKEN_BACK = "completed was taken back"
    CANCELLED_REVIVED = "cancelled came to life without a retry"
    CANCELLED_UNASKED = "cancelled although nobody asked"
    EXPIRED_EARLY = "a result expired before its date"
    TOO_FEW_RETRIES = "more revivals than retries"
    COUNTER_WENT_BACK = "a counter went back"
    RUN_WENT_BACK = "an earlier run was told after a later one"
    PERCENT_WENT_BACK = "the percent went back"
    COMPLETED_TWICE = "completed under more than one token"
    VANISHED = "a record vanished"
    CAME_BACK = "a record came back after a 404"
    TOLD_AFTER_DELETE = "told after its deletion"
    MISSING_IN_LIST = "missing in a list"
    WRONG_IN_LIST = "in a list that excludes it"
    OUTPUTS_CHANGED = "the outputs changed"
    WRONG_BYTES = "the downloaded bytes are not those told"
    WRONG_SOURCE = "the converted bytes are not those uploaded"


class Violation(msgspec.Struct, frozen=True):
    """One violation: of which promise, by which conversion, file, key or object, and as shown by which calls."""

    kind: Kind
    subject: str
    text: str
    calls: tuple[Call, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.text}\n" + "\n".join(f"    {call}" for call in self.calls)
