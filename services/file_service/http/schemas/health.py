"""Bodies of `/health`."""

from typing import Literal

import msgspec


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one dependency."""

    status: Literal["ok", "unavailable"]
    latency_ms: float
    error: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, `degraded` (the broker is away, so new work waits) or `unavailable`."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, Check]
    sandbox: str | None = None


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"
