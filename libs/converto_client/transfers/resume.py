"""What is remembered on disk about work that was begun, so that the same command goes on after a crash. No network.

An entry is written before the first request: its idempotency key makes the server give the same file and conversion
again, even when we died between the request and its answer.
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
"""Older entries are of no use: the server has given the upload up long before."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was begun and has not been finished yet."""

    idempotency_key: str
    file_id: str | None = None
    conversion_id: str | None = None


class ResumeStore:
    """One small JSON file per unfinished piece of work, in a folder of this user."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first entry is written."""
        self._folder = folder

    def begin(self, key: str) -> Begun:
        """The entry of this key from an earlier run, or a new one, written to disk."""
        known = self._load(key)
        if known is not None:
            return known
        begun = self.new_entry()
        self.keep(key, begun)
        return begun

    @staticmethod
    def new_entry() -> Begun:
        """An entry for something that begins now, not written anywhere."""
        return Begun(idempotency_key=secrets.token_hex(16))

    def keep(self, key: str, begun: Begun) -> None:
        """Write an entry whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._folder / f"{key}.{secrets.token_hex(4)}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(begun))
        new.replace(self._path(key))

    def forget(self, key: str) -> None:
        """Remove an entry; removing one that is not there is fine. Entries past their time go with it."""
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
    """One name for: this server, this file in this state, this request. Another file content is another name."""
    parts = [server, str(source.path.absolute()), source.size_bytes, source.modified_ns, request]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
