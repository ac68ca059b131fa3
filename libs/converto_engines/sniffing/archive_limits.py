"""Rejects ZIP containers that unpack to too much, before a program opens them (OOXML, ODF, EPUB, 3MF).

It unpacks nothing: it trusts the directory of the container, which stops ordinary ZIP bombs cheaply.
"""

import os
import stat
import struct
import zipfile
from pathlib import Path

from converto_core.errors import CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.runtime.sandboxed.archive import size_problem
from converto_engines.sniffing.containers import ZIP_MAGIC

_TAIL_BYTES = 64 * 1024 + 22  # the longest comment that may end a ZIP file, and the end record before it
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_IN_END_64 = 0xFFFF
_RATIO = 100
_RATIO_FROM_BYTES = 100 * 1024**2
"""Small files may have any ratio: an empty sheet shrinks more than a hundredfold."""
_MADE_ON_UNIX = 3


def check_archive(path: Path, limits: Limits) -> None:
    """Raise `SourceTooLarge` or `CorruptSource` for a container above a limit; ignores other files. Blocks on disk."""
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            return
        entries = _declared_entries(file.seek(0, os.SEEK_END), path)
    if entries > limits.entries:
        raise SourceTooLarge(f"The file contains {entries:,} parts; at most {limits.entries:,} are allowed")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorruptSource(detail=repr(error)) from error
    _check_members(members, path.stat().st_size, limits)


def _declared_entries(size_bytes: int, path: Path) -> int:
    """Read the number of members from the last bytes, before a directory of millions is read into memory."""
    with path.open("rb") as file:
        file.seek(max(size_bytes - _TAIL_BYTES, 0))
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        return 0  # no directory: the converter reports what is wrong with the file
    (count,) = struct.unpack_from("<H", tail, end + 10)
    end_64 = tail.rfind(_END_64)
    if count == _IN_END_64 and end_64 >= 0 and len(tail) >= end_64 + 40:
        (count,) = struct.unpack_from("<Q", tail, end_64 + 32)
    return int(count)


def _check_members(members: list[zipfile.ZipInfo], size_bytes: int, limits: Limits) -> None:
    if problem := size_problem(members, entries=limits.entries, unpacked_bytes=limits.unpacked_bytes):
        raise SourceTooLarge(problem)
    unpacked = sum(member.file_size for member in members)
    if unpacked > _RATIO_FROM_BYTES and unpacked > _RATIO * size_bytes:
        raise SourceTooLarge(
            f"The file unpacks to {unpacked // max(size_bytes, 1):,} times its size, which no real document does"
        )
    if any(_is_link(member) for member in members):
        raise CorruptSource("The file contains symbolic links, which no real document does")


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.create_system == _MADE_ON_UNIX and stat.S_ISLNK(member.external_attr >> 16)
