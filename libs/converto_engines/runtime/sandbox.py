"""The command line that confines a program: bubblewrap, or our launcher where user namespaces are missing.

It only builds argument lists; `process.py` starts them. It knows no converter.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from converto_engines.converter import Limits
from converto_engines.runtime.process_tree import FIRST_TO_GO
from converto_engines.runtime.sandboxed import confine

PROGRAM_PATH = "/usr/local/bin:/usr/bin:/bin"
PACKAGE = Path(__file__).resolve().parents[1]
"""Our programs in the `sandboxed/` packages import each other from here, so every program may read it."""
LAUNCHER = PACKAGE / "runtime" / "sandboxed" / "launch.py"
_CONFINER = Path(confine.__file__).resolve()

_JOB = "/job"
# What programs read besides /usr: fonts, Debian's alternatives, and where Debian's LibreOffice keeps its settings.
_SETTINGS = (
    "/etc/fonts",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/libreoffice",
    "/var/cache/fontconfig",
    "/var/spool/libreoffice",
)
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", *_SETTINGS)
_DEVICES = ("/dev/urandom", "/dev/random")
_OPEN_FILES = 1024
# Address space is only the backstop behind the watch on resident memory: threads and arenas reserve far more of it
# than they use, so a tight limit would break LibreOffice and pdfium long before they use much.
_ADDRESS_SPACE_FLOOR_BYTES = 4 * 1024**3


class Enclosure(msgspec.Struct, frozen=True, kw_only=True):
    """What one program may see: its job folder, a temporary folder in it, more folders to read, devices to use."""

    folder: Path
    temporary: Path
    readable: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()


def environment_of(temporary: str, more: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a program; nothing of ours is inherited."""
    return {"PATH": PROGRAM_PATH, "HOME": temporary, "LANG": "C.UTF-8", "TMPDIR": temporary, **more}


def limiting(limits: Limits, *, cpu_s: int | None) -> list[str]:
    """First victim when memory runs out, and the kernel's own limits; `cpu_s` None for programs kept warm."""
    address_space = max(2 * limits.memory_bytes, _ADDRESS_SPACE_FLOOR_BYTES)
    cpu = [] if cpu_s is None else [f"--cpu={cpu_s}:{cpu_s + 1}"]
    sizes = [f"--as={address_space}", f"--fsize={limits.file_bytes}", f"--nofile={_OPEN_FILES}", "--core=0"]
    return ["choom", "-n", str(FIRST_TO_GO), "--", "prlimit", *cpu, *sizes, "--"]


def bubblewrap(enclosure: Enclosure, environment: Mapping[str, str], *, filter_descriptor: int) -> list[str]:
    """Namespaces of its own for everything, an empty root, no capability, no network, ends with its parent."""
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in environment.items():
        argv += ["--setenv", name, value]
    argv += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    argv += ["--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--proc", "/proc", "--dev", "/dev"]
    for path in _SETTINGS:
        argv += ["--ro-bind-try", path, path]
    argv += ["--bind", str(enclosure.folder), _JOB, "--bind", str(enclosure.temporary), "/tmp"]  # noqa: S108
    for readable in _outside_usr([PACKAGE, *enclosure.readable]):
        argv += ["--ro-bind", readable, readable]
    for device in enclosure.devices:
        argv += ["--dev-bind-try", str(device), str(device)]
    return [*argv, "--chdir", _JOB, "--seccomp", str(filter_descriptor), "--"]


def launcher(enclosure: Enclosure) -> list[str]:
    """No privilege needed: system call filter, and Landlock where the kernel has it."""
    readable = [*_SYSTEM, "/proc", "/sys/devices/system/cpu", *map(str, (PACKAGE, *enclosure.readable))]
    writable = [*_DEVICES, *map(str, enclosure.devices), str(enclosure.folder), str(enclosure.temporary)]
    # LibreOffice puts its sockets into /tmp and nowhere else. Nobody confined can list that folder, and their names
    # hold random letters, so no other program finds them.
    rules = json.dumps({"readable": readable, "writable": writable, "sockets": ["/tmp"]})  # noqa: S108
    return [sys.executable, "-I", "-S", str(_CONFINER), rules]


def name_inside(mode: str, folder: Path, path: Path) -> str:
    """How the program has to call a file of the job folder; raises `ValueError` for a file outside of it."""
    relative = Path(os.path.abspath(path)).relative_to(os.path.abspath(folder))  # noqa: PTH100 -- keeps symlinks
    return str((Path(_JOB) if mode == "bubblewrap" else Path(os.path.abspath(folder))) / relative)  # noqa: PTH100


def _outside_usr(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths if not path.is_relative_to("/usr")]
