"""The folders a warm LibreOffice lives in: one ready-made profile per user and version, one private folder per slot.

It starts nothing; `libreoffice.py` has the profile filled in and copied.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from hashlib import md5, sha256
from pathlib import Path

from converto_core.errors import EngineMissing

PROFILE, FRESH_PROFILE = "profile", "fresh"

_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
{items}
</oor:items>
"""
_ITEM = '<item oor:path="{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
_CHOICES = (
    # No link of a document is followed and no macro runs, even where the sandbox would stop what it does.
    ("/org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    # Nothing that costs time at a start without a screen: no update check, no probing of graphics cards or Java.
    ("/org.openoffice.Office.Common/Misc", "UseOpenCL", "false"),
    ("/org.openoffice.Office.Common/Misc", "FirstRun", "false"),
    ("/org.openoffice.Office.Java/VirtualMachine", "Enable", "false"),
)


class SlotFolder:
    """A folder of one slot, locked while its owner lives, so that what a killed worker left can be told from it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a new folder and the open file that holds its lock."""
        self.path, self._descriptor = path, descriptor

    @classmethod
    def make(cls, work_dir: Path | None = None) -> "SlotFolder":
        """A new private folder; folders whose owner is gone are removed first. Blocks on the disk."""
        home = _home(work_dir)
        for leftover in home.glob("slot-*"):
            _remove_if_abandoned(leftover)
        path = Path(tempfile.mkdtemp(prefix="slot-", dir=home))
        descriptor = os.open(path / "owner", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(path, descriptor)

    def remove(self) -> None:
        """Give the folder up. Blocks on the disk."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def remove_sockets(slot: Path) -> None:
    """Remove what a killed LibreOffice left in /tmp; inside bubblewrap /tmp is its own, and nothing is found here.

    LibreOffice puts its sockets nowhere else: that of our pipe, and one named after its profile's address.
    """
    for profile in (PROFILE, FRESH_PROFILE):
        address = (slot / profile).as_uri().encode("utf-16-le")
        digest = "".join(f"{byte:x}" for byte in md5(address, usedforsecurity=False).digest())
        _unlink(f"OSL_PIPE_*SingleOfficeIPC_{digest}")
    _unlink(f"OSL_PIPE_*{slot.name}")


def _unlink(pattern: str) -> None:
    for socket in Path("/tmp").glob(pattern):  # noqa: S108 -- LibreOffice's choice, not ours
        with suppress(OSError):
            socket.unlink()


def ready_profile(version: str, work_dir: Path | None = None) -> Path:
    """Where the ready-made profile for this version and these settings is, or has to be put."""
    mark = sha256("\n".join("\t".join(choice) for choice in _CHOICES).encode()).hexdigest()[:8]
    return _home(work_dir) / f"profile-{version}-{mark}"


def write_settings(profile: Path) -> None:
    """Begin a profile with our settings; LibreOffice adds the rest at its first start. Blocks on the disk."""
    items = "\n".join(_ITEM.format(path=path, name=name, value=value) for path, name, value in _CHOICES)
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_SETTINGS.format(items=items), encoding="utf-8")


def keep_as_ready(profile: Path, ready: Path) -> None:
    """Make a finished profile the ready-made one; when another worker was quicker, theirs stays. Blocks on the disk."""
    (profile / ".lock").unlink(missing_ok=True)
    with suppress(OSError):
        profile.rename(ready)


def copy_ready(ready: Path, profile: Path) -> None:
    """Give a slot its own fresh copy. Blocks on the disk."""
    shutil.rmtree(profile, ignore_errors=True)
    shutil.copytree(ready, profile, ignore=shutil.ignore_patterns(".lock"))


def _home(work_dir: Path | None) -> Path:
    home = (work_dir or Path(tempfile.gettempdir())) / f"converto-office-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()
    # The folder's name can be guessed, and everybody may write to the system's temporary folder.
    if found.st_uid != os.getuid() or home.is_symlink() or found.st_mode & 0o077:
        raise EngineMissing(f"The folder {home.name} in the temporary folder belongs to someone else; set TMPDIR")
    return home


def _remove_if_abandoned(slot: Path) -> None:
    try:
        descriptor = os.open(slot / "owner", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # being made, or removed, at this moment
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_sockets(slot)
        shutil.rmtree(slot, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
