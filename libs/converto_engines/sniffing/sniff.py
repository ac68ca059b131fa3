"""Detects the format of a file by its content; the name only breaks ties. Both services use the same function.

It works on the first and last 64 KiB, so a file in the object store needs only two small range reads.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import magic
import msgspec

from converto_core.errors import BadSource, CorruptSource, EncryptedSource, MislabelledSource
from converto_core.formats import BY_NAME, Family, Format, extension_of, format_of_mime_type, format_of_name
from converto_engines.sniffing import containers, signatures

WINDOW_BYTES: Final = 64 * 1024
"""Bytes read from each end of a file: enough for the directory of nearly every ZIP container."""

_MEDIA = frozenset({Family.IMAGE, Family.VIDEO, Family.AUDIO})
_TEXT_FORMATS = frozenset({"txt", "csv", "md", "json"})
"""Plain text without a signature: the name decides which format it is."""
_TEXT_KINDS = frozenset(
    {"text", "xml", "script", "step", "iges", "obj", "stl", "ply", "gltf", "brep", "off", "srt", "vtt"}
)
"""Kinds that are also plain text: they are treated as plain text when the name says so."""
_NEVER_DOCUMENTS = _TEXT_FORMATS | {"html", "srt", "vtt"}
"""Text that must not be accepted as another format of its family: the result would be a document of garbage."""
_UNRELIABLE = frozenset({"tga"})
"""Formats that libmagic reports by mistake."""
_ENCRYPTED_AS_A_WHOLE = frozenset({"docx", "pptx", "xlsx"})
"""Encrypted, these show no content; write protection encrypts them with a password that every program knows."""
_OPENED_BY_PASSWORD = frozenset({"doc", "odt", "odp", "ods", "odg"})
"""Of the formats that show here that they are encrypted, those that are converted with a password."""
_SHOWN_NAME_CHARACTERS = 80


class Sniffed(msgspec.Struct, frozen=True, kw_only=True):
    """The detected content: `format` is a name of the format table, or None when converto cannot convert it."""

    format: str | None
    mime_type: str
    title: str
    is_empty: bool = False
    is_encrypted: bool = False
    is_truncated: bool = False

    def describe(self) -> str:
        """Return a title for users, such as "PDF document" or "Windows program"."""
        return self.title


def sniff(
    head: bytes,
    *,
    tail: bytes = b"",
    filename: str = "",
    names: Sequence[str] | None = None,
    size_bytes: int | None = None,
) -> Sniffed:
    """Detect a file by its first bytes and, where known, its last bytes, its container's member names and its size."""
    if not head:
        return Sniffed(format=None, mime_type="application/x-empty", title="empty file", is_empty=True)
    if not tail and (len(head) < WINDOW_BYTES or size_bytes == len(head)):
        tail = head
    members = tuple(names or ())
    if head.startswith(containers.ZIP_MAGIC):
        return _of_contents(containers.inspect_zip(head, tail, names=members), filename)
    if head.startswith(containers.OLE2_MAGIC):
        return _of_contents(containers.inspect_ole2(head, tail, names=members), filename)
    kind = _kind(head, filename, size_bytes)
    if kind is None and signatures.is_targa(head, tail):
        kind = "tga"
    return _of_kind(kind, head, filename)


def sniff_path(path: Path, *, filename: str = "") -> Sniffed:
    """Detect a file on disk, where the OLE2 directory can be read at any position. Blocks for a few milliseconds."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(WINDOW_BYTES)
        file.seek(max(size_bytes - WINDOW_BYTES, 0), os.SEEK_SET)
        tail = file.read(WINDOW_BYTES)
        names: tuple[str, ...] = ()
        if (offset := containers.ole2_directory_offset(head)) is not None and offset < size_bytes:
            file.seek(offset)
            names = containers.stream_names(file.read(WINDOW_BYTES))
    return sniff(head, tail=tail, filename=filename or path.name, names=names, size_bytes=size_bytes)


def check_claim(filename: str, sniffed: Sniffed) -> str | None:
    """Return a sentence about a wrong file name, or None when name and content agree closely enough.

    A picture named as another kind of picture is accepted and converted by its content. Content of another family is
    rejected, and so is plain text named as a document, which would become a "PDF of garbage".
    """
    claimed = format_of_name(filename)
    if claimed is None or sniffed.format == claimed.name:
        return None
    shown = _shown(filename)
    if sniffed.format is None:
        return f'The file is named "{shown}" but is {_with_article(sniffed.describe())}'
    actual = BY_NAME[sniffed.format]
    if actual.name in _NEVER_DOCUMENTS and not (actual.name in _TEXT_FORMATS and claimed.name in _TEXT_FORMATS):
        what = "plain text" if actual.name in _TEXT_FORMATS else _with_article(sniffed.describe())
        return f'The file is named "{shown}" but is {what}'
    if actual.family is claimed.family or {actual.family, claimed.family} <= {Family.VIDEO, Family.AUDIO}:
        return None
    return f'The file is named "{shown}" but is {_with_article(sniffed.describe())}'


def decide(filename: str, sniffed: Sniffed, *, has_password: bool = False) -> Format:
    """Return the format to convert a file as; an encrypted one only if there is a password to open it.

    Raises `CorruptSource` (empty or truncated), `EncryptedSource`, `MislabelledSource`, or `BadSource` with the code
    `source_unsupported` for content that converto cannot convert.
    """
    shown = _shown(filename)
    if sniffed.is_empty:
        raise CorruptSource(f'The file "{shown}" is empty. Check it and upload it again')
    if sniffed.is_encrypted and not (has_password and sniffed.format in _OPENED_BY_PASSWORD):
        raise EncryptedSource(f'The file "{shown}" is password-protected. {_advice(sniffed)}')
    if mismatch := check_claim(filename, sniffed):
        raise MislabelledSource(f"{mismatch}. Upload the right file, or correct its name")
    if sniffed.format is None:
        what = _with_article(sniffed.describe())
        raise BadSource(f'"{shown}" is {what}, which converto cannot convert', code="source_unsupported")
    if sniffed.is_truncated:
        raise CorruptSource(f'The file "{shown}" is incomplete: its end is missing. Upload the complete file again')
    return BY_NAME[sniffed.format]


def _advice(sniffed: Sniffed) -> str:
    if sniffed.format is None:
        return "Name it .docx, .xlsx or .pptx, whichever it is, and give the option password, or remove the password"
    if sniffed.format in _OPENED_BY_PASSWORD:
        return "Create the conversion again with the option password, or remove the password and upload it again"
    return "Remove the password and upload it again"


def _kind(head: bytes, filename: str, size_bytes: int | None) -> str | None:
    if kind := signatures.kind_of_bytes(head):
        return kind
    text = signatures.text_of(head)
    kind = signatures.kind_of_text(text) if text is not None else None
    if kind in {None, "text"} and b"%PDF-" in head[:1024]:
        return "pdf"  # PDF readers accept some junk before the header
    if kind is not None:
        return kind
    if signatures.is_binary_stl(head, size_bytes, is_claimed=extension_of(filename) == "stl"):
        return "stl"
    return signatures.kind_of_opening(head)


def _of_contents(contents: containers.Contents, filename: str) -> Sniffed:
    kind = contents.kind
    claimed = format_of_name(filename)
    if kind == "ole2" and claimed is not None and claimed.name in {"doc", "xls", "ppt"}:
        kind = claimed.name  # its directory is outside the bytes read: the name breaks the tie
    if kind == "iwork" and claimed is not None and claimed.name == "key":
        kind = claimed.name  # the same container as Pages and Numbers; the bytes read do not distinguish them
    is_encrypted = contents.is_encrypted
    if kind == "ooxml-encrypted" and claimed is not None and claimed.name in _ENCRYPTED_AS_A_WHOLE:
        kind, is_encrypted = claimed.name, False  # perhaps in name only: the program that opens it knows
    if kind == "zip" and contents.is_truncated and claimed is not None and _is_zip_based(claimed):
        kind = claimed.name  # truncated before any distinctive member: report the truncation, not a wrong name
    sniffed = _known(kind)
    return msgspec.structs.replace(
        sniffed,
        is_encrypted=is_encrypted,
        is_truncated=contents.is_truncated,
    )


def _is_zip_based(claimed: Format) -> bool:
    return claimed.name in {"docx", "pptx", "xlsx", "odt", "odp", "ods", "odg", "3mf", "epub", "key"}


def _of_kind(kind: str | None, head: bytes, filename: str) -> Sniffed:
    claimed = format_of_name(filename)
    if kind in _TEXT_KINDS and claimed is not None and claimed.name in _TEXT_FORMATS:
        return _known(claimed.name)
    if kind in {"text", "xml", "svg"} and claimed is not None and claimed.name == "html" and _is_part_of_page(head):
        return _known("html")
    if kind == "text" and claimed is not None and claimed.name == "gltf" and signatures.is_gltf_without_asset(head):
        return _known("gltf")
    if kind == "text":
        return _known("txt")
    if kind in {"mp4", "mov"} and claimed is not None and claimed.name == "m4a":
        return _known("m4a")
    return _known(kind) if kind is not None else _by_libmagic(head)


def _is_part_of_page(head: bytes) -> bool:
    text = signatures.text_of(head)
    return text is not None and signatures.is_part_of_page(text)


def _known(kind: str) -> Sniffed:
    if (entry := BY_NAME.get(kind)) is not None:
        return Sniffed(format=entry.name, mime_type=entry.mime_type, title=entry.title)
    title, mime_type = signatures.OTHERS[kind]
    return Sniffed(format=None, mime_type=mime_type, title=title)


def _by_libmagic(head: bytes) -> Sniffed:
    """Detect what our table does not know; only media is converted on libmagic's word, the rest is just described."""
    mime_type = _magic(mime=True).from_buffer(head)
    entry = format_of_mime_type(mime_type)
    if entry is not None and entry.family in _MEDIA and entry.name not in _UNRELIABLE:
        return Sniffed(format=entry.name, mime_type=entry.mime_type, title=entry.title)
    description = _magic(mime=False).from_buffer(head).partition(",")[0].strip()
    is_described = description not in {"", "data"} and not mime_type.startswith("application/octet-stream")
    title = f"file of another kind ({description[:60]})" if is_described else "file of unknown kind"
    return Sniffed(format=None, mime_type=mime_type, title=title)


@functools.cache
def _magic(*, mime: bool) -> magic.Magic:
    return magic.Magic(mime=mime)


def _shown(filename: str) -> str:
    name = "".join(character if character.isprintable() else "?" for character in filename)
    return name if len(name) <= _SHOWN_NAME_CHARACTERS else f"{name[: _SHOWN_NAME_CHARACTERS - 1]}…"


def _with_article(title: str) -> str:
    if title.startswith("plain text"):
        return title
    # The letters of HTML, MP3, XML, FBX, … are pronounced with a leading vowel.
    is_vowel = title[0] in "aeioAEIO" or title.startswith(
        ("HTML", "MP3", "MP4", "MPEG", "XML", "FBX", "SVG", "RAR", "STL")
    )
    return f"{'an' if is_vowel else 'a'} {title}"
