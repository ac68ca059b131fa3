"""Refuses sources that are too large, copy protected or truncated, before ffmpeg decodes them."""

import os
import re
from pathlib import Path

from converto_core.errors import BadSource, CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.media.probe import Probe

_PROTECTED_TAGS = (b"encv", b"enca", b"drmi", b"drms")
# Elements ContentEncodings, ContentEncoding and ContentEncryption of a track, one within the other.
_MATROSKA_ENCRYPTION = re.compile(rb"\x6d\x80.{1,8}\x62\x40.{1,40}\x50\x35", re.DOTALL)
# The ids of two objects: content encryption, and its extended form.
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
_HEADER_BYTES, _SCRAMBLED_BYTES, _TS_PACKET_BYTES = 256 * 1024, 2 * 1024**2, 188
_MAX_CHUNKS, _MAX_INDEX_BYTES = 64, 32 * 1024**2
_UNKNOWN_SIZE_BYTES, _SLACK_BYTES = 0x7FFF_0000, 1024


def check_tracks(probe: Probe, limits: Limits) -> None:
    """Raise `SourceTooLarge` for more tracks or pixels per frame than allowed."""
    if len(probe.tracks) > limits.streams:
        raise SourceTooLarge(f"The file has {len(probe.tracks)} tracks; at most {limits.streams} are allowed")
    for track in probe.of("video", "cover"):
        if track.width * track.height > limits.pixels:
            size = f"{track.width} × {track.height} pixels"
            raise SourceTooLarge(
                f"The video has frames of {size}; at most {limits.pixels:,} pixels in total are allowed"
            )


def check_duration(duration_s: float | None, limits: Limits) -> None:
    """Raise `SourceTooLarge` for a file that is too long."""
    if duration_s is not None and duration_s > limits.duration_s:
        raise SourceTooLarge(f"The file lasts {duration_s:,.0f} s; at most {limits.duration_s:,.0f} s are allowed")


def check_readable(probe: Probe, kind: str) -> None:
    """Raise `BadSource` without a track of this kind or a known codec, `CorruptSource` for a track without content."""
    name = "sound" if kind == "audio" else kind
    tracks = probe.of(kind)
    if not tracks:
        raise BadSource(f"The file has no readable {name} track")
    if not any(track.codec for track in tracks):
        tag = next(iter(tracks[0].tags), "")
        shown = f" ({tag})" if tag.isalnum() else ""
        raise BadSource(f"The {name} is in a codec that is not supported{shown}. Convert it to a common one first")
    if not any(track.is_readable for track in tracks):
        raise CorruptSource(f"The {name} of the file cannot be read: it is damaged, or its beginning is missing")


def check_protection(path: Path, format_name: str) -> None:
    """Raise `EncryptedSource` for content with DRM or scrambling, which ffprobe does not report.

    Blocks while it reads the file's start or index.
    """
    if format_name in {"mp4", "mov", "m4a"}:
        index = _mp4_index(path)
        is_protected = b"sinf" in index and b"frma" in index and any(tag in index for tag in _PROTECTED_TAGS)
    elif format_name == "ts":
        is_protected = _is_scrambled(_start(path, _SCRAMBLED_BYTES))
    elif format_name in {"mkv", "webm"}:
        is_protected = _MATROSKA_ENCRYPTION.search(_start(path, _HEADER_BYTES)) is not None
    else:
        start = _start(path, _HEADER_BYTES) if format_name == "wmv" else b""
        is_protected = any(name in start for name in _ASF_ENCRYPTION)
    if is_protected:
        raise EncryptedSource("The file is copy protected (DRM or scrambling). Upload a file without protection")


def _start(path: Path, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size_bytes)


def _is_scrambled(start: bytes) -> bool:
    """Return whether most packets with content of a transport stream are scrambled, as in recordings of pay TV."""
    first = next((at for at in range(_TS_PACKET_BYTES) if start[at::_TS_PACKET_BYTES][:5] == b"G" * 5), None)
    if first is None:
        return False
    flags = [start[at] for at in range(first + 3, len(start), _TS_PACKET_BYTES)]
    with_content = [flag for flag in flags if flag & 0x10]
    return 2 * sum(1 for flag in with_content if flag & 0xC0) > len(with_content)


def check_wav_end(path: Path) -> None:
    """Raise `CorruptSource` for a WAV shorter than its header says; ffprobe reports the actual length only.

    An interrupted recorder leaves a size of 0 or nearly 2 or 4 GB; such a file counts as complete.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(12)
        for _ in range(_MAX_CHUNKS):
            head = file.read(8)
            declared_bytes = int.from_bytes(head[4:], "little")
            if len(head) < 8 or (head[:4] == b"data" and declared_bytes >= _UNKNOWN_SIZE_BYTES):
                return
            if head[:4] == b"data" and file.tell() + declared_bytes > size_bytes + _SLACK_BYTES:
                raise CorruptSource("The end of the sound is missing. Upload the complete file")
            file.seek(declared_bytes + declared_bytes % 2, os.SEEK_CUR)


def _mp4_index(path: Path) -> bytes:
    """Return the `moov` box; empty when it is not among the first boxes."""
    with path.open("rb") as file:
        for _ in range(_MAX_CHUNKS):
            head = file.read(16)
            if len(head) < 16:
                return b""
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if head[4:8] == b"moov":
                return head + file.read(min(max(size - 16, 0), _MAX_INDEX_BYTES))
            if not 8 <= size < 2**62:
                return b""
            file.seek(size - 16, os.SEEK_CUR)
    return b""
