"""What a running program and all its descendants use, read from /proc. It starts and ends nothing."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

FIRST_TO_GO = 1000
"""How the kernel is told that a program goes first when memory runs out; everything we start has it."""

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """Sums over a process tree; `cpu_s` includes children that have already ended."""

    processes: int
    resident_bytes: int
    cpu_s: float


class _Entry(msgspec.Struct, frozen=True):
    pid: int
    parent: int
    ticks: int
    pages: int


def usage_of(pid: int) -> Usage:
    """What `pid` and everything below it uses now; zeros when it is gone."""
    tree = list(_tree(pid))
    return Usage(
        processes=len(tree),
        resident_bytes=sum(entry.pages for entry in tree) * _PAGE_BYTES,
        cpu_s=sum(entry.ticks for entry in tree) / _TICKS_PER_S,
    )


def descendants_of(pid: int) -> list[int]:
    """`pid` and everything below it, as numbers of this process namespace."""
    return [entry.pid for entry in _tree(pid)]


def programs_in(folder: Path) -> list[int]:
    """Programs of ours that were started for something in this folder, whoever their parent is by now.

    The command that confines a program names its folder. Ours are marked by `choom`, so that nobody who only reads a
    file there is taken for one.
    """
    inside = os.fsencode(folder)
    return [pid for pid in _pids() if _names(pid, inside) and _is_first_to_go(pid)]


def folder_bytes(folder: Path) -> int:
    """Bytes of all regular files below a folder; what vanishes while it is counted counts as nothing."""
    total, open_folders = 0, [str(folder)]
    while open_folders:
        with suppress(OSError), os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                total += _size_or_descend(entry, open_folders)
    return total


def _size_or_descend(entry: "os.DirEntry[str]", open_folders: list[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        open_folders.append(entry.path)
        return 0
    with suppress(OSError):
        return entry.stat(follow_symlinks=False).st_size
    return 0


def _tree(root: int) -> Iterator[_Entry]:
    # The kernel's own list of children (/proc/…/children) is a build option that some kernels lack, so all are read.
    children: dict[int, list[_Entry]] = defaultdict(list)
    first: list[_Entry] = []
    for entry in _all():
        children[entry.parent].append(entry)
        if entry.pid == root:
            first = [entry]
    waiting = first
    while waiting:
        entry = waiting.pop()
        yield entry
        waiting.extend(children[entry.pid])


def _all() -> Iterator[_Entry]:
    for pid in _pids():
        with suppress(OSError):
            yield _read(pid)


def _pids() -> Iterator[int]:
    for name in os.listdir(_PROC):  # noqa: PTH208 -- names only; this runs four times a second
        if name.isdigit():
            yield int(name)


def _names(pid: int, folder: bytes) -> bool:
    with suppress(OSError):
        command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b"/")
        return folder + b"/" in command
    return False


def _is_first_to_go(pid: int) -> bool:
    with suppress(OSError):
        return (_PROC / str(pid) / "oom_score_adj").read_text().strip() == str(FIRST_TO_GO)
    return False


def _read(pid: int) -> _Entry:
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    fields = text[text.rindex(")") + 2 :].split()  # a program's name may hold spaces and brackets
    ticks = sum(int(value) for value in fields[11:15])
    return _Entry(pid=pid, parent=int(fields[1]), ticks=ticks, pages=max(0, int(fields[21])))
