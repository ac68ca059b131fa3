"""Refuses ZIP containers that unpack to more than is allowed, before any program opens them (OOXML, ODF, EPUB, 3MF).

It believes the container's own directory, so it stops honest bombs cheaply; one that lies runs into the limits of the
program that reads it. It unpacks nothing.
"""

import os
import stat
import struct
import zipfile
from pathlib import Path

from converto_core.errors import CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.sniffing.containers import ZIP_MAGIC

_TAIL_BYTES = 64 * 1024 + 22  # the longest comment a ZIP file may end with, and the record before it
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_IN_END_64 = 0xFFFF
_RATIO = 100
_RATIO_FROM_BYTES = 100 * 1024**2
"""Small things may shrink a hundredfold and more without harm: an empty sheet does."""
_MADE_ON_UNIX = 3


def check_archive(path: Path, limits: Limits) -> None:
    """Raise `SourceTooLarge` or `CorruptSource` for a container that is over a cap; others pass. Blocks on disk."""
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            return
        entries = _entries_told(file.seek(0, os.SEEK_END), path)
    if entries > limits.entries:
        raise SourceTooLarge(f"The file holds {entries:,} parts; at most {limits.entries:,} are allowed")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorruptSource(detail=repr(error)) from error
    _check_members(members, path.stat().st_size, limits)


def _entries_told(size_bytes: int, path: Path) -> int:
    """How many members the last bytes say there are: known before a directory of millions is read into memory."""
    with path.open("rb") as file:
        file.seek(max(size_bytes - _TAIL_BYTES, 0))
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        return 0  # no directory: the converter tells what is wrong with the file
    (count,) = struct.unpack_from("<H", tail, end + 10)
    end_64 = tail.rfind(_END_64)
    if count == _IN_END_64 and end_64 >= 0 and len(tail) >= end_64 + 40:
        (count,) = struct.unpack_from("<Q", tail, end_64 + 32)
    return int(count)


def _check_members(members: list[zipfile.ZipInfo], size_bytes: int, limits: Limits) -> None:
    if len(members) > limits.entries:
        raise SourceTooLarge(f"The file holds {len(members):,} parts; at most {limits.entries:,} are allowed")
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.unpacked_bytes:
        raise SourceTooLarge(
            f"The file unpacks to {unpacked >> 20:,} MB; at most {limits.unpacked_bytes >> 20:,} MB are allowed"
        )
    if unpacked > _RATIO_FROM_BYTES and unpacked > _RATIO * size_bytes:
        raise SourceTooLarge(
            f"The file unpacks to {unpacked // max(size_bytes, 1):,} times its size, as no document does"
        )
    if any(_is_link(member) for member in members):
        raise CorruptSource("The file holds links to other files, as no document does")


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.create_system == _MADE_ON_UNIX and stat.S_ISLNK(member.external_attr >> 16)
