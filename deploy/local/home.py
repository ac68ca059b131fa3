"""The state folder of one stack: data, logs, sockets and secrets."""

import asyncio
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from converto_core.access import new_key_text

REPOSITORY = Path(__file__).resolve().parents[2]
# A socket path may have 108 bytes on Linux and 104 on macOS, including the terminating zero.
LONGEST_SOCKET_PATH = 100
SEALING_KEY_BYTES = 32


class Secrets(msgspec.Struct, frozen=True):
    """Created once per state folder, so that later starts can read the existing data."""

    api_key: str
    rabbitmq_password: str
    s3_access_key_id: str
    s3_secret_access_key: str
    sealing_key: str = ""


class Home:
    """One state folder; everything in it belongs to one stack and is readable by its owner only."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.data = self.root / "data"
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self.stack_file = self.root / "stack.json"

    @classmethod
    def default(cls) -> "Home":
        """The folder in `CONVERTO_HOME`, else `.converto` in the repository."""
        return cls(Path(os.environ.get("CONVERTO_HOME") or REPOSITORY / ".converto"))

    @property
    def socket(self) -> Path:
        """The supervisor's socket; in the temporary folder when the path in the state folder would be too long."""
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"converto-{os.getuid()}-{digest}" / "supervisor.sock"

    def create(self) -> None:
        """Create the folders and make existing ones private."""
        for folder in (self.root, self.data, self.logs, self.run, self.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)

    def secrets(self) -> Secrets:
        """Read this folder's secrets, or create them."""
        path = self.root / "secrets.json"
        if path.exists():
            known = msgspec.json.decode(path.read_bytes(), type=Secrets)
            return known if known.sealing_key else self._with_sealing_key(path, known)
        made = Secrets(
            api_key=new_key_text(),
            rabbitmq_password=secrets.token_hex(24),
            s3_access_key_id="converto-local",
            s3_secret_access_key=secrets.token_hex(24),
        )
        return self._with_sealing_key(path, made)

    def _with_sealing_key(self, path: Path, known: Secrets) -> Secrets:
        """Add the key that a folder of an older version does not have."""
        made = msgspec.structs.replace(known, sealing_key=secrets.token_hex(SEALING_KEY_BYTES))
        write_private(path, msgspec.json.encode(made))
        return made

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Lock the folder against another `up` or `down`; waits until it is free."""
        with (self.run / "lock").open("w") as lock:
            while not _take(lock):  # noqa: ASYNC110 - another process holds it and sends no event
                await asyncio.sleep(0.1)
            yield


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner only."""
    half = path.with_name(path.name + ".part")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    half.replace(path)
