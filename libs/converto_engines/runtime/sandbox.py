"""Builds the command line that confines a program: bubblewrap, or `confine.py` where user namespaces are missing."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from converto_engines.converter import Limits
from converto_engines.runtime.process_tree import OOM_SCORE_ADJ
from converto_engines.runtime.sandboxed import confine

PROGRAM_PATH = "/usr/local/bin:/usr/bin:/bin"
PACKAGE = Path(__file__).resolve().parents[1]
"""Programs in the `sandboxed/` packages import each other from here, so every program may read it."""
LAUNCHER = PACKAGE / "runtime" / "sandboxed" / "launch.py"
_CONFINER = Path(confine.__file__).resolve()

_JOB = "/job"
# Read by programs besides /usr: fonts, Debian's alternatives, and the settings of Debian's LibreOffice.
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
# `LimitMonitor` enforces resident memory; the address space limit is only a backstop. Threads and arenas reserve far
# more address space than they use, so a tight limit would break LibreOffice and pdfium early.
_ADDRESS_SPACE_FLOOR_BYTES = 4 * 1024**3


class VisibleFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What one program may access: its job folder, a temporary folder, further readable paths, devices."""

    folder: Path
    temporary: Path
    readable: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()


def environment(temporary: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The complete environment of a program; it inherits nothing from the worker."""
    return {"PATH": PROGRAM_PATH, "HOME": temporary, "LANG": "C.UTF-8", "TMPDIR": temporary, **extra}


def limits_argv(limits: Limits, *, cpu_s: int | None) -> list[str]:
    """The prefix that sets the kernel's limits and the OOM score; `cpu_s` is None for programs that stay warm."""
    address_space = max(2 * limits.memory_bytes, _ADDRESS_SPACE_FLOOR_BYTES)
    cpu = [] if cpu_s is None else [f"--cpu={cpu_s}:{cpu_s + 1}"]
    sizes = [f"--as={address_space}", f"--fsize={limits.file_bytes}", f"--nofile={_OPEN_FILES}", "--core=0"]
    return ["choom", "-n", str(OOM_SCORE_ADJ), "--", "prlimit", *cpu, *sizes, "--"]


def bubblewrap_argv(files: VisibleFiles, variables: Mapping[str, str], *, filter_descriptor: int) -> list[str]:
    """Own namespaces, an empty root, no capabilities, no network; the program dies with its parent."""
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in variables.items():
        argv += ["--setenv", name, value]
    argv += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    argv += ["--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--proc", "/proc", "--dev", "/dev"]
    for path in _SETTINGS:
        argv += ["--ro-bind-try", path, path]
    argv += ["--bind", str(files.folder), _JOB, "--bind", str(files.temporary), "/tmp"]  # noqa: S108
    for readable in _outside_usr([PACKAGE, *files.readable]):
        argv += ["--ro-bind", readable, readable]
    for device in files.devices:
        argv += ["--dev-bind-try", str(device), str(device)]
    return [*argv, "--chdir", _JOB, "--seccomp", str(filter_descriptor), "--"]


def confine_argv(files: VisibleFiles) -> list[str]:
    """A system call filter, plus Landlock where the kernel has it; needs no privileges."""
    readable = [*_SYSTEM, "/proc", "/sys/devices/system/cpu", *map(str, (PACKAGE, *files.readable))]
    writable = [*_DEVICES, *map(str, files.devices), str(files.folder), str(files.temporary)]
    # LibreOffice can create its sockets only in /tmp. Confined programs cannot list that folder, and socket names
    # contain random letters, so no other program finds them.
    rules = json.dumps({"readable": readable, "writable": writable, "sockets": ["/tmp"]})  # noqa: S108
    return [sys.executable, "-I", "-S", str(_CONFINER), rules]


def path_inside(mode: str, folder: Path, path: Path) -> str:
    """The path of a file in the job folder as the program sees it; raises `ValueError` for a path outside of it."""
    relative = Path(os.path.abspath(path)).relative_to(os.path.abspath(folder))  # noqa: PTH100 -- keeps symlinks
    return str((Path(_JOB) if mode == "bubblewrap" else Path(os.path.abspath(folder))) / relative)  # noqa: PTH100


def _outside_usr(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths if not path.is_relative_to("/usr")]
