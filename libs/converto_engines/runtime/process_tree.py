"""Reads from /proc what a program and all its descendants use."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

OOM_SCORE_ADJ = 1000
"""The kernel kills these processes first when memory runs out; every program that we start has this value."""

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """Totals of a process tree; `cpu_s` includes children that have already exited."""

    processes: int
    resident_bytes: int
    cpu_s: float


class _Entry(msgspec.Struct, frozen=True):
    pid: int
    parent: int
    ticks: int
    pages: int


def usage_of(pid: int) -> Usage:
    """Current usage of `pid` and its descendants; zeros when the process is gone."""
    tree = list(_tree(pid))
    return Usage(
        processes=len(tree),
        resident_bytes=sum(entry.pages for entry in tree) * _PAGE_BYTES,
        cpu_s=sum(entry.ticks for entry in tree) / _TICKS_PER_S,
    )


def descendants_of(pid: int) -> list[int]:
    """`pid` and its descendants, numbered as in this process namespace."""
    return [entry.pid for entry in _tree(pid)]


def programs_in(folder: Path) -> list[int]:
    """Processes that we started for a path below this folder, whichever process is their parent now.

    The sandbox command line contains the job folder. `choom` marks our programs with `OOM_SCORE_ADJ`, so an unrelated
    program that only reads a file there does not match.
    """
    prefix = os.fsencode(folder) + b"/"
    return [pid for pid in _pids() if _mentions(pid, prefix) and _has_our_oom_score(pid)]


def folder_bytes(folder: Path) -> int:
    """Total size of all regular files below a folder; files that disappear meanwhile count as zero."""
    total, pending = 0, [str(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                total += _size_or_descend(entry, pending)
    return total


def _size_or_descend(entry: "os.DirEntry[str]", pending: list[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        pending.append(entry.path)
        return 0
    with suppress(OSError):
        return entry.stat(follow_symlinks=False).st_size
    return 0


def _tree(root: int) -> Iterator[_Entry]:
    # /proc/PID/task/TID/children is a kernel build option that some kernels lack, so every process is read.
    children: dict[int, list[_Entry]] = defaultdict(list)
    pending: list[_Entry] = []
    for entry in _all():
        children[entry.parent].append(entry)
        if entry.pid == root:
            pending = [entry]
    while pending:
        entry = pending.pop()
        yield entry
        pending.extend(children[entry.pid])


def _all() -> Iterator[_Entry]:
    for pid in _pids():
        with suppress(OSError):
            yield _read(pid)


def _pids() -> Iterator[int]:
    for name in os.listdir(_PROC):  # noqa: PTH208 -- names only; this runs four times a second
        if name.isdigit():
            yield int(name)


def _mentions(pid: int, prefix: bytes) -> bool:
    with suppress(OSError):
        return prefix in (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b"/")
    return False


def _has_our_oom_score(pid: int) -> bool:
    with suppress(OSError):
        return (_PROC / str(pid) / "oom_score_adj").read_text().strip() == str(OOM_SCORE_ADJ)
    return False


def _read(pid: int) -> _Entry:
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    fields = text[text.rindex(")") + 2 :].split()  # a program's name may contain spaces and brackets
    ticks = sum(int(value) for value in fields[11:15])
    return _Entry(pid=pid, parent=int(fields[1]), ticks=ticks, pages=max(0, int(fields[21])))
