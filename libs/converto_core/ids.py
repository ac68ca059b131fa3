"""Ids and time: UUIDv7 text (sorts by creation) and milliseconds since the epoch."""

import time

import uuid_utils


def new_id() -> str:
    """A new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


def now_ms() -> int:
    """Wall clock, milliseconds since the epoch, UTC. For records only: no lease and no deadline is measured with it."""
    return time.time_ns() // 1_000_000
