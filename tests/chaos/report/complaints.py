"""What the services of a run wrote into their logs that nobody foresaw: errors with tracebacks."""

from collections import Counter
from pathlib import Path

import msgspec

SERVICES = ("api-*.log", "worker-*.log", "housekeeping.log")
# The driver of the database says so of each connection that broke while it looked after its pool.
FORESEEN = ("MongoClient background task encountered an error:",)


def complaints(logs: Path) -> Counter[str]:
    """How often each kind was written. A process that was killed in the middle of a line leaves half of one."""
    found: Counter[str] = Counter()
    for pattern in SERVICES:
        for path in logs.glob(pattern):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found.update(kind for line in lines if (kind := _kind(line)) is not None)
    return found


def _kind(line: str) -> str | None:
    if not line.startswith("{"):
        return "traceback" if line.startswith("Traceback") else None
    try:
        entry = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    event = str(entry.get("event"))
    return event if "exception" in entry and event not in FORESEEN else None
