"""Ids (UUIDv7 text, which sorts by creation time) and times (milliseconds since the epoch)."""

import time

import uuid_utils


def new_id() -> str:
    """A new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


def now_ms() -> int:
    """Wall clock (ms since the epoch, UTC). For records only: leases and deadlines use a monotonic clock."""
    return time.time_ns() // 1_000_000
