"""Errors with tracebacks that the services of a run logged and that no fault explains."""

from collections import Counter
from pathlib import Path

import msgspec

SERVICES = ("api-*.log", "worker-*.log", "housekeeping.log")
# The database driver logs this for each connection that breaks during its pool maintenance.
EXPECTED = ("MongoClient background task encountered an error:",)


def unexpected_errors(logs: Path) -> Counter[str]:
    """Count each kind of error. A process that was killed while writing leaves half a line, which is skipped."""
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
    return event if "exception" in entry and event not in EXPECTED else None
