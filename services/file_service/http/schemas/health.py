"""Bodies of `/health`."""

from typing import Literal

import msgspec


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one dependency; `faults` are those of its parts, with what to do about them."""

    status: Literal["ok", "unavailable"]
    latency_ms: float
    error: str | None = None
    faults: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, `degraded` (the broker is away, so new work waits, or a part has a fault) or `unavailable`.

    `engines_not_answering` names conversion programs that are installed but answer on no running worker yet. It does
    not change the status: everything else is converted, and what needs them waits.
    """

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, Check]
    sandbox: str | None = None
    engines_not_answering: tuple[str, ...] = ()


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"
