"""Sources that tell the engine how to behave, and how each of them has to end.

The same seed and number make the same source.
"""

import hashlib
import json
import random
import zlib
from struct import pack, unpack_from

import msgspec

from converto_core.conversion.record import Status

ROUND = 400
# Each round has one of each. A poison source crashes five workers, with a lease for each: it has to come early.
FIXED = {
    2: "crash",
    4: "daemon",
    6: "flood",
    8: "greedy",
    10: "poison",
    12: "hang",
    14: "stubborn",
    16: "picture",
    18: "slow",
}
WEIGHTS = {
    "ok": 690,
    "picture": 100,
    "slow": 40,
    "crash": 40,
    "daemon": 40,
    "flood": 30,
    "greedy": 20,
    "hang": 6,
    "stubborn": 6,
}
DOWNLOADED, FOLLOWED, DELETED, RETRIED = 0.4, 0.15, 0.06, 0.3
"""Shares of the clients that download their outputs, follow by a stream, delete at the end, retry what failed."""
TWINS, TWINS_TOGETHER = 0.15, 40
"""The share of ordinary sources with the content of another one, and among how many neighbours that content is used."""
CANCELLED = {"ok": 0.05, "slow": 0.3, "hang": 0.2}  # by this share of the clients
UNCONFIRMED = 0.2
"""The share of clients that upload and never confirm."""
FAILS_WITH = {
    "crash": "engine_crashed",
    "greedy": "engine_limit_exceeded",
    "hang": "engine_timeout",
    "stubborn": "engine_timeout",
    "poison": "worker_lost",
}
WELL_BEHAVED = frozenset({"ok", "picture", "slow"})
MARK = "chaos source"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file to convert, and what its client does: confirm the upload, cancel, retry, follow, download, delete.

    A deleted conversion keeps its file, unless the file is deleted too.
    """

    label: str
    kind: str
    content: bytes
    is_cancelled: bool = False
    is_retried: bool = False
    is_confirmed: bool = True
    is_followed: bool = False
    is_downloaded: bool = False
    is_deleted: bool = False
    is_file_deleted: bool = False

    @property
    def filename(self) -> str:
        """The filename; its extension is the type."""
        return f"{self.label}.png" if self.kind == "picture" else f"{self.label}.txt"

    @property
    def target_format(self) -> str:
        """The format to convert to."""
        return "webp" if self.kind == "picture" else "json"

    @property
    def fails_with(self) -> str | None:
        """The error code to end with; None when it has to complete."""
        return FAILS_WITH.get(self.kind)

    def is_result(self, output: bytes) -> bool:
        """Return whether these bytes are the expected output of this source."""
        if self.kind == "picture":
            return webp_size(output) == png_size(self.content)
        return output == result_of(self.content)


def source(seed: int, number: int) -> Source:
    """Return source number `number` of a run."""
    chance = random.Random(f"{seed}-{number}")
    label = f"chaos-{seed}-{number:05d}"
    kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    kind = FIXED.get(number % ROUND, kind)
    if kind == "picture":
        return Source(label=label, kind=kind, content=_png(16 + number % 97, 16 + number % 89), **_habits(chance, kind))
    takes_ms = chance.randint(2000, 4000) if kind == "slow" else chance.randint(0, 150)
    is_twin = kind == "ok" and chance.random() < TWINS
    content = twin(seed, number // TWINS_TOGETHER) if is_twin else _text(kind, takes_ms, label)
    return Source(
        label=label,
        kind=kind,
        content=content,
        is_cancelled=chance.random() < CANCELLED.get(kind, 0.0),
        is_confirmed=chance.random() >= UNCONFIRMED,
        **_habits(chance, kind),
    )


def alike(seed: int, number: int) -> Source:
    """Return one of many sources with the same content, which all come at once."""
    label = f"chaos-{seed}-alike-{number:03d}"
    return Source(
        label=label, kind="ok", content=_text("ok", 300, f"chaos-{seed}-alike"), is_downloaded=number % 5 == 0
    )


def twin(seed: int, group: int) -> bytes:
    """Return the content that several sources of a group of neighbours have."""
    return _text("ok", 100, f"chaos-{seed}-twins-{group}")


def _text(kind: str, takes_ms: int, label: str) -> bytes:
    return f"{MARK}\nkind={kind}\ntakes_ms={takes_ms}\nlabel={label}\n".encode()


def _habits(chance: random.Random, kind: str) -> dict[str, bool]:
    shares = {
        "is_followed": FOLLOWED,
        "is_downloaded": DOWNLOADED,
        "is_deleted": DELETED,
        "is_retried": RETRIED if kind in ("ok", "slow", "crash") else 0.0,
    }
    return {habit: chance.random() < share for habit, share in shares.items()}


def kind_of(content: bytes) -> str:
    """Return the kind named in a source's text."""
    return content.decode().partition("kind=")[2].partition("\n")[0]


def result_of(content: bytes) -> bytes:
    """Return what the chaos engine makes of a text: it contains the hash of its source."""
    return json.dumps({"sha256": hashlib.sha256(content).hexdigest(), "text": content.decode()}).encode()


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    width, height = unpack_from(">II", png, 16)
    return width, height


def webp_size(webp: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of an extended WebP, as libvips writes it; None for anything else."""
    if webp[:4] != b"RIFF" or webp[8:16] != b"WEBPVP8X":
        return None
    width, height = (int.from_bytes(webp[start : start + 3], "little") + 1 for start in (24, 27))
    return width, height


def right_endings(source: Source) -> set[tuple[Status, str | None]]:
    """Return every correct final status of this source, with its error code."""
    ending = (Status.COMPLETED, None) if source.fails_with is None else (Status.FAILED, source.fails_with)
    return {ending, (Status.CANCELLED, None)} if source.is_cancelled else {ending}


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    row = bytes(channel for x in range(width) for channel in (x * 2 % 256, 99, 128))
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress((b"\0" + row) * height)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
