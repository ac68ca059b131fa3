"""Inspects ZIP and OLE2 containers: their members and whether they are encrypted.

It works on the first and last bytes of a file, because the file service reads only two ranges of an object. It never
unpacks more than `_LARGEST_MEMBER_READ_BYTES`.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

OLE2_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP_MAGIC: Final = b"PK\x03\x04"
_END_OF_DIRECTORY = b"PK\x05\x06"
_DIRECTORY_ENTRY = b"PK\x01\x02"
_LARGEST_MEMBER_READ_BYTES = 256 * 1024
"""The most that is unpacked of a member: type lists and manifests are far smaller; a ZIP bomb stops here."""

_MAIN_PARTS = (
    (b"wordprocessingml", "docx"),
    (b"ms-word", "docx"),
    (b"presentationml", "pptx"),
    (b"ms-powerpoint", "pptx"),
    (b"spreadsheetml", "xlsx"),
    (b"ms-excel", "xlsx"),
)
_PART_FOLDERS = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"))
_KEYNOTE_PARTS = ("Index/Slide", "Index/MasterSlide", "Index/TemplateSlide")
_MIMETYPE_MEMBERS = {
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.text-template": "odt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.presentation-template": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.spreadsheet-template": "ods",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/epub+zip": "epub",
}


class Contents(msgspec.Struct, frozen=True):
    """The kind of a container (a format name or a name of `signatures.OTHERS`) and its defects."""

    kind: str
    is_encrypted: bool = False
    is_truncated: bool = False


def inspect_zip(head: bytes, tail: bytes, *, names: tuple[str, ...] = ()) -> Contents:
    """Inspect a ZIP file; an empty `tail` means that its end is unknown, `names` are further known members."""
    members = _Members(head, tail)
    known = {*names, *members.names}
    kind = _zip_kind(members, known)
    manifest = members.read("META-INF/manifest.xml") or b""
    return Contents(
        kind=kind,
        is_encrypted=b"encryption-data" in manifest or (kind != "zip" and members.has_password),
        is_truncated=bool(tail) and not members.has_directory,
    )


def _zip_kind(members: "_Members", names: set[str]) -> str:
    mimetype = (members.read("mimetype") or b"").decode("ascii", "replace").strip()
    if mimetype in _MIMETYPE_MEMBERS:
        return _MIMETYPE_MEMBERS[mimetype]
    if any(name.lower().startswith("3d/") and name.lower().endswith(".model") for name in names):
        return "3mf"
    if "[Content_Types].xml" in names or "_rels/.rels" in names:
        return _ooxml_kind(members.read("[Content_Types].xml") or b"", names)
    if "index.apxl" in names or any(name.startswith(_KEYNOTE_PARTS) for name in names):
        return "key"
    if "Index/Document.iwa" in names or "Index.zip" in names:
        return "iwork"
    return "zip"


def _ooxml_kind(content_types: bytes, names: set[str]) -> str:
    for folder, kind in _PART_FOLDERS:
        if any(name.startswith(folder) for name in names):
            return kind
    # The main part may be anywhere; then the list of content types decides. A deck may embed sheets, so only the entry
    # with a `main+xml` type counts.
    for marker, kind in _MAIN_PARTS:
        if any(marker in entry and b"main+xml" in entry for entry in content_types.split(b"<")):
            return kind
    return "zip"


class _Members:
    """The members of a ZIP file that the first and last bytes show."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head = head
        self._tail = tail
        self._tail_start = 0
        self._local: dict[str, int] = {}
        self._directory: dict[str, int] = {}
        self.has_password = False
        self.has_directory = self._read_directory()
        self._read_local_headers()

    @property
    def names(self) -> set[str]:
        return {*self._local, *self._directory}

    def _read_directory(self) -> bool:
        end = self._tail.rfind(_END_OF_DIRECTORY)
        if end < 0 or len(self._tail) < end + 22:
            return False
        size, offset = struct.unpack_from("<II", self._tail, end + 12)
        self._tail_start = offset - (end - size)
        position = max(end - size, 0)
        if self._tail[position : position + 4] != _DIRECTORY_ENTRY:
            # The directory starts before the tail: continue at the first complete entry.
            position = self._tail.find(_DIRECTORY_ENTRY)
        for name, local_offset, flags in _directory_entries(self._tail, position):
            self._directory[name] = local_offset
            self.has_password |= bool(flags & 1)
        return True

    def _read_local_headers(self) -> None:
        position = 0
        while self._head[position : position + 4] == ZIP_MAGIC and len(self._head) >= position + 30:
            flags, _, _, _, _, packed, _, name_size, extra_size = struct.unpack_from(
                "<HHHHIIIHH", self._head, position + 6
            )
            name = self._head[position + 30 : position + 30 + name_size].decode("utf-8", "replace")
            self._local.setdefault(name, position)
            self.has_password |= bool(flags & 1)
            if flags & 8 and not packed:
                # The sizes follow the data: search for the next header instead.
                position = self._head.find(ZIP_MAGIC, position + 30)
                if position < 0:
                    return
            else:
                position += 30 + name_size + extra_size + packed

    def read(self, name: str) -> bytes | None:
        """Return the first bytes of one member, unpacked; None when it is outside the bytes read."""
        if name in self._local:
            return _unpacked(self._head, self._local[name])
        if name in self._directory:
            return _unpacked(self._tail, self._directory[name] - self._tail_start)
        return None


def _directory_entries(block: bytes, position: int) -> Iterator[tuple[str, int, int]]:
    while position >= 0 and block[position : position + 4] == _DIRECTORY_ENTRY and len(block) >= position + 46:
        (flags,) = struct.unpack_from("<H", block, position + 8)
        name_size, extra_size, comment_size = struct.unpack_from("<HHH", block, position + 28)
        (local_offset,) = struct.unpack_from("<I", block, position + 42)
        yield block[position + 46 : position + 46 + name_size].decode("utf-8", "replace"), local_offset, flags
        position += 46 + name_size + extra_size + comment_size


def _unpacked(block: bytes, position: int) -> bytes | None:
    if position < 0 or block[position : position + 4] != ZIP_MAGIC or len(block) < position + 30:
        return None
    method, _, _, _, packed, _, name_size, extra_size = struct.unpack_from("<HHHIIIHH", block, position + 8)
    start = position + 30 + name_size + extra_size
    if method == 0:
        return block[start : start + min(packed, _LARGEST_MEMBER_READ_BYTES)]
    try:
        return zlib.decompressobj(-15).decompress(block[start:], _LARGEST_MEMBER_READ_BYTES)
    except zlib.error:
        return None


_STREAMS = (
    ("EncryptedPackage", "ooxml-encrypted"),
    ("PowerPoint Document", "ppt"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("Book", "xls"),
    ("VisioDocument", "visio"),
    ("__properties_version1.0", "outlook"),
)
_ENCRYPTED_PPT_USER = b"\xdf\xc4\xd1\xf3"
"""`headerToken` of the "Current User" stream of an encrypted PowerPoint 97 file, little endian."""


def inspect_ole2(head: bytes, tail: bytes, *, names: tuple[str, ...] = ()) -> Contents:
    """Inspect an OLE2 file by its streams; its kind is `ole2` when the directory is outside the bytes read."""
    known = {*names, *_stream_names(head), *_stream_names(tail)}
    kind = next((kind for stream, kind in _STREAMS if stream in known), "ole2")
    if kind == "ooxml-encrypted":
        return Contents(kind=kind, is_encrypted=True)
    return Contents(kind=kind, is_encrypted=_is_ole2_encrypted(kind, head, known))


def ole2_directory_offset(head: bytes) -> int | None:
    """Return the byte offset of the directory of an OLE2 file, from which a caller can read the stream names."""
    if not head.startswith(OLE2_MAGIC) or len(head) < 52:
        return None
    (shift,) = struct.unpack_from("<H", head, 30)
    (sector,) = struct.unpack_from("<I", head, 48)
    return (sector + 1) << shift if shift in {9, 12} else None


def stream_names(directory: bytes) -> tuple[str, ...]:
    """Return the names in an OLE2 directory (128 bytes per entry)."""
    found = []
    for position in range(0, len(directory) - 127, 128):
        (size,) = struct.unpack_from("<H", directory, position + 64)
        if 2 <= size <= 64 and directory[position + 66] in {1, 2, 5}:
            found.append(directory[position : position + size - 2].decode("utf-16-le", "replace"))
    return tuple(found)


def _stream_names(block: bytes) -> set[str]:
    offset = ole2_directory_offset(block)
    names = set(stream_names(block[offset : offset + 4096])) if offset is not None else set()
    # A directory may continue elsewhere, so a zero-terminated name anywhere in the bytes read counts too.
    return names | {name for name, _ in _STREAMS if name.encode("utf-16-le") + b"\0\0" in block and len(name) > 4}


def _is_ole2_encrypted(kind: str, head: bytes, names: set[str]) -> bool:
    """Return whether it needs a password.

    Not asked for workbooks: write protection encrypts them with a password that every program knows and tries.
    """
    if kind == "ppt":
        return "EncryptedSummary" in names or _ENCRYPTED_PPT_USER in head
    if kind == "doc":
        start = head.find(b"\xec\xa5", 512)
        return 0 <= start < len(head) - 12 and start % 512 == 0 and bool(head[start + 11] & 1)
    return False
