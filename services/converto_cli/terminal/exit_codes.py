"""Exit statuses, and how the statuses of several files are combined. Imports nothing, which keeps `--help` fast."""

from collections.abc import Sequence

OK = 0
FAILURE = 1
USAGE = 2
SOME_FAILED = 3
AUTHENTICATION = 4
CONVERSION_FAILED = 5
UNREACHABLE = 6
TIMED_OUT = 7
INTERRUPTED = 130


def of_many(statuses: Sequence[int]) -> int:
    """One status for several files: 0 if all succeeded, 3 if some did, else their common status or 1."""
    if all(status == OK for status in statuses):
        return OK
    if any(status == OK for status in statuses):
        return SOME_FAILED
    return statuses[0] if len(set(statuses)) == 1 else FAILURE
