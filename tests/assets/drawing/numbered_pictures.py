"""Small pictures, each with unique bytes so that no cached result fits; generated in microseconds."""

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.assets.drawing import picture_files, pictures

AFTER_HEADER = 8 + 25  # signature and IHDR
CHUNK = b"teSt"  # private, ancillary: every reader skips it


def numbered(png: bytes, number: int, *, weight_bytes: int = 0) -> bytes:
    """The same picture with this number and this many incompressible bytes added."""
    body = b"%d:" % number + random.Random(number).randbytes(weight_bytes)
    chunk = struct.pack(">I", len(body)) + CHUNK + body + struct.pack(">I", zlib.crc32(CHUNK + body))
    return png[:AFTER_HEADER] + chunk + png[AFTER_HEADER:]


def write_many(folder: Path, count: int, *, weight_bytes: int = 0) -> Iterator[Path]:
    """Yield distinct PNG files of 90 × 60 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    one = picture_files.png(pictures.overlapping_discs(90, 60))
    for number in range(count):
        path = folder / f"{number}.png"
        path.write_bytes(numbered(one, number, weight_bytes=weight_bytes))
        yield path
