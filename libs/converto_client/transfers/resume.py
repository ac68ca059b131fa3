"""Remembers unfinished requests on disk, so that the same command resumes after a crash.

An entry is written before the first request: its idempotency key makes the server return the same file and conversion
again, even when the client died between the request and its answer.
"""

import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from converto_client.transfers.source import Source

KEPT_FOR_S = 7 * 86400
"""Older entries are useless: the server abandons an unfinished upload long before."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """One unfinished request."""

    idempotency_key: str
    file_id: str | None = None
    conversion_id: str | None = None


class ResumeStore:
    """One small JSON file per unfinished request, in a folder of this user."""

    def __init__(self, folder: Path) -> None:
        """`folder` is created with the first entry."""
        self._folder = folder

    def begin(self, key: str) -> Begun:
        """The entry that an earlier run left for this key, else a new one; it is on disk on return."""
        known = self._load(key)
        if known is not None:
            return known
        begun = self.new_entry()
        self.keep(key, begun)
        return begun

    @staticmethod
    def new_entry() -> Begun:
        """A new entry that is not stored."""
        return Begun(idempotency_key=secrets.token_hex(16))

    def keep(self, key: str, begun: Begun) -> None:
        """Write an entry atomically."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._folder / f"{key}.{secrets.token_hex(4)}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(begun))
        new.replace(self._path(key))

    def forget(self, key: str) -> None:
        """Delete an entry, if it exists, and all entries past their time."""
        self._path(key).unlink(missing_ok=True)
        for path in self._folder.glob("*"):
            if _age_s(path) > KEPT_FOR_S:
                path.unlink(missing_ok=True)

    def _load(self, key: str) -> Begun | None:
        path = self._path(key)
        try:
            body = path.read_bytes()
            return msgspec.json.decode(body, type=Begun) if _age_s(path) < KEPT_FOR_S else None
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def resume_key(server: str, source: Source, request: dict[str, Any]) -> str:
    """The key of one request: server, file with size and modification time, and body."""
    parts = [server, str(source.path.absolute()), source.size_bytes, source.modified_ns, request]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
