"""The worker's private folders: one per worker and, inside it, one per job, wiped afterwards.

A worker locks a file beside its folder for its whole life. The kernel releases the lock when the process dies, however
it dies, so a folder whose lock is free was left by a crash. Process ids were rejected for this: they are reused, above
all in containers, where every worker has the same one.
"""

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from converto_core.errors import ConvertoError
from converto_engines.runtime.process import kill_orphans

PRIVATE = 0o700

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class WorkFolderRefused(ConvertoError):
    """Raised when the work folder cannot be used; the message names the setting to change."""

    code = "work_folder_refused"


class Workspace:
    """The folder `<root>/<worker id>/`, mode 0700, with one folder per job."""

    def __init__(self, root: Path, worker_id: str, *, reserve_bytes: int) -> None:
        """`reserve_bytes` of the disk always stay free. `open` creates the folder."""
        self.root = root
        self.folder = root / worker_id
        self._lock_path = root / f"{worker_id}.lock"
        self._reserve_bytes = reserve_bytes
        self._lock: int | None = None

    def open(self) -> None:
        """Create the worker's folder and lock it; raise `WorkFolderRefused` when the root belongs to another user."""
        _make_private(self.root)
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        # The lock comes before the folder: a clean-up lists folders only, so it never finds one without its lock.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder.mkdir(mode=PRIVATE)

    def close(self) -> None:
        """Delete this worker's folder and release its lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clean_up(self) -> list[str]:
        """Remove the folders of dead workers; return their ids."""
        others = [path for path in self.root.iterdir() if path.is_dir() and path != self.folder]
        return [path.name for path in others if _remove_if_dead(path)]

    def has_room(self, needed_bytes: int = 0) -> bool:
        """Return whether the disk has `needed_bytes` beyond the reserve."""
        return shutil.disk_usage(self.folder).free >= needed_bytes + self._reserve_bytes

    @asynccontextmanager
    async def job_folder(self, name: str) -> AsyncIterator[Path]:
        """Create a private folder and delete it afterwards, also after an error."""
        folder = self.folder / name
        await asyncio.to_thread(folder.mkdir, mode=PRIVATE)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def default_root() -> Path:
    """Return this user's folder in the system's temporary folder."""
    return Path(tempfile.gettempdir()) / f"converto-work-{os.getuid()}"


def _make_private(root: Path) -> None:
    try:
        root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = root.lstat()
    except OSError as error:
        raise WorkFolderRefused(
            f"Cannot create the work folder {root}: {error.strerror}. Set CONVERTO_WORK_DIR to a folder you own."
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise WorkFolderRefused(
            f"The work folder {root} is not a folder that this user owns. Set CONVERTO_WORK_DIR to a folder you own."
        )


def _remove_if_dead(folder: Path) -> bool:
    lock_path = folder.with_name(f"{folder.name}.lock")
    if not lock_path.exists():
        return False  # not a worker's folder
    lock = os.open(lock_path, os.O_RDWR)
    try:
        return _if_free(lock, lambda: _remove(folder, lock_path))
    finally:
        os.close(lock)


def _if_free(lock: int, remove: Callable[[], None]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    remove()
    return True


def _remove(folder: Path, lock_path: Path) -> None:
    ended = kill_orphans(folder)
    shutil.rmtree(folder, ignore_errors=True)
    lock_path.unlink(missing_ok=True)
    log.info("workspace.cleaned", left_by=folder.name, programs_ended=ended)
