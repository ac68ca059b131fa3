"""Reads untrusted ZIP containers: checked before anything is unpacked, read by member name, never unpacked to disk."""

import posixpath
import zipfile
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from converto_engines.runtime.sandboxed.protocol import Refused

_LARGEST_RATIO = 200
_RATIO_FROM_BYTES = 4 * 1024**2  # smaller members are harmless at any ratio
_ENCRYPTED = 0x1
LOCKED = "The file is password-protected. Please remove the password and upload it again"
"""For formats that no password opens here."""


def size_problem(members: Collection[zipfile.ZipInfo], *, entries: int, unpacked_bytes: int) -> str | None:
    """Explain to the user why a container is too large, or return None; relies on the sizes in its directory.

    A container that lies about them runs into the memory and file limits of the program that reads it.
    """
    if len(members) > entries:
        return f"The file contains {len(members):,} parts; at most {entries:,} are allowed"
    unpacked = sum(member.file_size for member in members)
    if unpacked > unpacked_bytes:
        return f"The file unpacks to {_shown(unpacked)}; at most {_shown(unpacked_bytes)} are allowed"
    return None


def check_size(members: Collection[zipfile.ZipInfo], *, entries: int, unpacked_bytes: int) -> None:
    """Refuse a container with too many members or too large a total size."""
    if problem := size_problem(members, entries=entries, unpacked_bytes=unpacked_bytes):
        raise Refused("too_large", problem)


class Archive:
    """The members of one ZIP file; references in it can only resolve to its own members."""

    def __init__(self, path: str, *, entries: int, unpacked_bytes: int) -> None:
        """Open the file; refuses one that is damaged, encrypted, or too large in count, size or ratio."""
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Refused("corrupt") from error
        members = self._zip.infolist()
        check_size(members, entries=entries, unpacked_bytes=unpacked_bytes)
        if any(member.flag_bits & _ENCRYPTED for member in members):
            raise Refused("encrypted", LOCKED)
        _check_ratios(members)
        self._members = {member.filename: member for member in members if not member.is_dir()}

    def __contains__(self, name: str) -> bool:
        """Return whether there is such a member."""
        return name in self._members

    def read(self, name: str) -> bytes:
        """Return the whole member; raises `KeyError` when there is none, `Refused` when it is damaged."""
        member = self._members[name]
        try:
            return self._zip.read(member)  # never more than the size that was checked
        except Exception as error:  # decompressors raise errors of many kinds
            raise Refused("corrupt") from error

    def resolve(self, base: str, reference: str) -> str | None:
        """Return the member that a reference in the member `base` points to; None for anything outside of this file."""
        try:
            parts = urlsplit(reference.strip())
        except ValueError:
            return None
        if parts.scheme or parts.netloc or not parts.path:
            return None
        name = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path)))
        return name if name in self._members else None


def _check_ratios(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if member.file_size > max(_RATIO_FROM_BYTES, _LARGEST_RATIO * member.compress_size):
            raise Refused("too_large", f"A part of the file unpacks to more than {_LARGEST_RATIO} times its size")


def _shown(size_bytes: int) -> str:
    return f"{size_bytes >> 20:,} MB" if size_bytes >= 1024**2 else f"{size_bytes:,} bytes"
