"""What the run itself writes to its journal as it happens, so that a killed run can be judged from its folder.

Times are of the machine's monotonic clock.
"""

from typing import Any

import msgspec

from tests.chaos.sources import Source


class Entry(msgspec.Struct, frozen=True, tag=True):
    """One line of the run's journal; the field `type` names its kind."""


class Began(Entry, frozen=True, kw_only=True):
    """The run starts: its settings. `environment` reaches the servers past the proxies; the folder is private."""

    at_s: float
    plan: dict[str, Any]
    environment: dict[str, str]
    lease_s: float


class Sent(Entry, frozen=True):
    """A client starts, with everything that its conversion is judged by."""

    at_s: float
    source: Source


class Noted(Entry, frozen=True):
    """What one client did or was told: `accepted` (the id), `retried`, `unexpected answer` …"""

    at_s: float
    label: str
    what: str
    detail: str = ""


class Injected(Entry, frozen=True, kw_only=True):
    """A fault was injected and healed again. `met`: how much it met; `how` says what that was; `error`: it broke."""

    at_s: float
    took_s: float
    name: str
    met: int
    how: str
    error: str = ""


class Outage(Entry, frozen=True):
    """A time during which one dependency was broken."""

    dependency: str
    fault: str
    began_s: float
    healed_s: float


class Interruption(Entry, frozen=True):
    """A kill or stop of a process: from `at_s` on it does nothing."""

    at_s: float
    pid: int


class Probe(Entry, frozen=True):
    """One request to one file service: time, duration, status (0: no connection) and the healthy dependencies.

    `path` is `health` or `list`.
    """

    url: str
    at_s: float
    took_s: float
    status: int
    healthy: frozenset[str] = frozenset()
    path: str = "list"


class Told(Entry, frozen=True):
    """A live event that a listener received."""

    id: str
    token: int
    status: str
    percent: float
    beat: int = 0


class Verdict(Entry, frozen=True):
    """Something that makes the run unclean besides the ledger's four zeros.

    A `limit` is a time or a share that a busy machine may miss: it counts only when the machine was quiet.
    """

    name: str
    detail: str
    is_limit: bool = False


class Load(Entry, frozen=True):
    """The share of all cores that other programs took for some seconds, the load average and the cores."""

    at_s: float
    foreign_share: float
    load: float
    cores: int


class Memory(Entry, frozen=True):
    """The resident memory of one process."""

    at_s: float
    name: str
    pid: int
    rss_bytes: int


class Figure(Entry, frozen=True):
    """A measurement for the report that only the running system could take."""

    text: str


class Drained(Entry, frozen=True):
    """Everything was healed, and the clients had their time to end. Without it the run was killed."""

    at_s: float


Line = (
    Began | Sent | Noted | Injected | Outage | Interruption | Probe | Told | Verdict | Load | Memory | Figure | Drained
)
