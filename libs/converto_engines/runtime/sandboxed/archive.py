"""Opens a ZIP container that may mean harm: counted before it is read, read by name only, never unpacked to disk.

It runs inside the sandbox and knows no format.
"""

import posixpath
import zipfile
from typing import Any
from urllib.parse import unquote, urlsplit

from converto_engines.runtime.sandboxed.protocol import Refused

_MOST_TIMES_PACKED = 200
_RATIO_MATTERS_BYTES = 4 * 1024**2  # below it even a well packed member is harmless
_ENCRYPTED = 0x1


class Archive:
    """The members of one ZIP file; nothing in it can name anything outside of it."""

    def __init__(self, path: str, *, entries: int, unpacked_bytes: int) -> None:
        """Open it, or refuse it: broken, with a password, or too large in count, size or ratio."""
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Refused("corrupt") from error
        members = self._zip.infolist()
        _check(members, entries=entries, unpacked_bytes=unpacked_bytes)
        self._members = {member.filename: member for member in members if not member.is_dir()}

    def __contains__(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._members

    def read(self, name: str) -> bytes:
        """The whole member; raises `KeyError` when there is none, `Refused` when it is damaged."""
        member = self._members[name]
        try:
            return self._zip.read(member)  # never more than the size that was checked
        except Exception as error:  # decompressors raise errors of many kinds
            raise Refused("corrupt") from error

    def resolve(self, beside: str, reference: str) -> str | None:
        """The member that a reference in another member means; None for anything outside of this file."""
        try:
            parts = urlsplit(reference.strip())
        except ValueError:
            return None
        if parts.scheme or parts.netloc or not parts.path:
            return None
        name = posixpath.normpath(posixpath.join(posixpath.dirname(beside), unquote(parts.path)))
        return name if name in self._members else None


def _check(members: list[Any], *, entries: int, unpacked_bytes: int) -> None:
    if len(members) > entries:
        raise Refused("too_large", f"The file has {len(members):,} parts; {entries:,} are allowed")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise Refused("encrypted")
    whole = sum(member.file_size for member in members)
    if whole > unpacked_bytes:
        raise Refused("too_large", f"The file would unpack to {whole:,} bytes; {unpacked_bytes:,} are allowed")
    for member in members:
        if member.file_size > max(_RATIO_MATTERS_BYTES, _MOST_TIMES_PACKED * member.compress_size):
            raise Refused("too_large", f"A part of the file unpacks to more than {_MOST_TIMES_PACKED} times its size")
