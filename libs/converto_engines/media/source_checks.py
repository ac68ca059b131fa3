"""Refuses sources that are too large, copy protected or truncated, before ffmpeg decodes them."""

import os
from pathlib import Path

from converto_core.errors import CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.media.probe import Probe

_PROTECTED_TAGS = (b"encv", b"enca", b"drmi", b"drms")
_MAX_CHUNKS, _MAX_INDEX_BYTES = 64, 32 * 1024**2
_UNKNOWN_SIZE_BYTES, _SLACK_BYTES = 0x7FFF_0000, 1024


def check_limits(probe: Probe, limits: Limits) -> None:
    """Raise `SourceTooLarge` for more tracks, seconds or pixels per frame than allowed."""
    if len(probe.tracks) > limits.streams:
        raise SourceTooLarge(f"The file has {len(probe.tracks)} tracks; at most {limits.streams} are allowed")
    check_duration(probe.duration_s, limits)
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


def check_protection(path: Path) -> None:
    """Raise `EncryptedSource` for an MP4 with DRM, which ffprobe does not report.

    Blocks while it reads the file's index.
    """
    index = _mp4_index(path)
    if b"sinf" in index and b"frma" in index and any(tag in index for tag in _PROTECTED_TAGS):
        raise EncryptedSource("The file is copy protected (DRM). Upload a file without protection")


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
