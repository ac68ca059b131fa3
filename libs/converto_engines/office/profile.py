"""The folders of a warm LibreOffice: one template profile per user and version, and one private folder per slot."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from hashlib import md5, sha256
from pathlib import Path

from converto_core.errors import EngineMissing

PROFILE, FRESH_PROFILE, SINGLE_PROFILE = "profile", "fresh", "single"

_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
{items}
</oor:items>
"""
_ITEM = '<item oor:path="{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
_CHOICES = (
    # No links are followed and no macros run, even though the sandbox would contain them.
    ("/org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    # Skip what slows down a headless start: the first-run wizard, the probing of graphics cards and of Java.
    ("/org.openoffice.Office.Common/Misc", "UseOpenCL", "false"),
    ("/org.openoffice.Office.Common/Misc", "FirstRun", "false"),
    ("/org.openoffice.Office.Java/VirtualMachine", "Enable", "false"),
)
_CONTENTS = ("blank-fonts", "1")  # count on when what else is in a template changes


class SlotFolder:
    """The folder of one slot, locked while its owner lives, so that folders of killed workers can be recognised."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """`descriptor` is the open file that holds the lock."""
        self.path, self._descriptor = path, descriptor

    @classmethod
    def create(cls, work_dir: Path | None = None) -> "SlotFolder":
        """Remove folders whose owner is gone, then create a private one. Blocks on the disk."""
        home = _home(work_dir)
        for leftover in home.glob("slot-*"):
            _remove_if_abandoned(leftover)
        path = Path(tempfile.mkdtemp(prefix="slot-", dir=home))
        descriptor = os.open(path / "owner", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(path, descriptor)

    def remove(self) -> None:
        """Remove the folder and release its lock. Blocks on the disk."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def remove_sockets(slot: Path) -> None:
    """Remove the sockets that a killed LibreOffice left in /tmp; with bubblewrap /tmp is private and there are none.

    LibreOffice always creates two there: one for our pipe, and one named after a hash of its profile's URL.
    """
    for profile in (PROFILE, FRESH_PROFILE, SINGLE_PROFILE):
        address = (slot / profile).as_uri().encode("utf-16-le")
        digest = "".join(f"{byte:x}" for byte in md5(address, usedforsecurity=False).digest())
        _unlink(f"OSL_PIPE_*SingleOfficeIPC_{digest}")
    _unlink(f"OSL_PIPE_*{slot.name}")


def _unlink(pattern: str) -> None:
    for socket in Path("/tmp").glob(pattern):  # noqa: S108 -- the path is fixed in LibreOffice
        with suppress(OSError):
            socket.unlink()


def template_profile(version: str, work_dir: Path | None = None) -> Path:
    """Return the path of the template profile for this version and these settings, which may not exist yet."""
    mark = sha256("\n".join("\t".join(choice) for choice in (*_CHOICES, _CONTENTS)).encode()).hexdigest()[:8]
    return _home(work_dir) / f"profile-{version}-{mark}"


def write_settings(profile: Path) -> None:
    """Create a profile with our settings; LibreOffice adds the rest at its first start. Blocks on the disk."""
    items = "\n".join(_ITEM.format(path=path, name=name, value=value) for path, name, value in _CHOICES)
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_SETTINGS.format(items=items), encoding="utf-8")


def save_template(profile: Path, template: Path) -> None:
    """Move a complete profile to `template`, unless another worker was faster. Blocks on the disk."""
    (profile / ".lock").unlink(missing_ok=True)
    with suppress(OSError):
        profile.rename(template)


def copy_template(template: Path, profile: Path) -> None:
    """Create a slot's own profile from the template. Blocks on the disk."""
    shutil.rmtree(profile, ignore_errors=True)
    shutil.copytree(template, profile, ignore=shutil.ignore_patterns(".lock"))


def _home(work_dir: Path | None) -> Path:
    home = (work_dir or Path(tempfile.gettempdir())) / f"converto-office-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()
    # The name is predictable, and every user may write to the temporary folder.
    if found.st_uid != os.getuid() or home.is_symlink() or found.st_mode & 0o077:
        raise EngineMissing(f"The folder {home} is not private to this user. Set TMPDIR to another folder")
    return home


def _remove_if_abandoned(slot: Path) -> None:
    try:
        descriptor = os.open(slot / "owner", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # it is being created or removed right now
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_sockets(slot)
        shutil.rmtree(slot, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
