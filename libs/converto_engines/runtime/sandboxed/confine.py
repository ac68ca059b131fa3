"""Confines a program without privileges: system call filter, Landlock file system rules, no way to gain rights.

Where user namespaces are missing it is started by path in front of the program (`confine.py RULES_JSON PROGRAM
ARGUMENT…`). bubblewrap also gets the filter of `filter_program`. Standard library only.
"""

import ctypes
import json
import os
import platform
import signal
import struct
import sys
from pathlib import Path
from typing import NoReturn

NOT_CONFINED = "not confined: "
EXIT_NOT_CONFINED = 125  # our own exit status: the rules could not be applied, so the program was never started

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_EPERM, _EACCES, _ENOSYS = 1, 13, 38
_LAST_CAPABILITY = 63
_LIBC = ctypes.CDLL(None, use_errno=True)

# System calls that no conversion needs and that extend what a compromised program can reach. The numbers are those of
# x86_64 and aarch64; the system call numbers of a platform never change.
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161), "init_module": (175, 105),
    "delete_module": (176, 106), "finit_module": (313, 273), "quotactl": (179, 60), "acct": (163, 89),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "unshare": (272, 97), "setns": (308, 268), "perf_event_open": (298, 241),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "bpf": (321, 280), "userfaultfd": (323, 282),
}  # fmt: skip
# These fail with ENOSYS, so that the C library falls back to its older way: threads by clone, files by read and write.
_ABSENT = {"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
           "clone3": (435, 435)}  # fmt: skip
# Without a PID namespace everything is killed by process group, so no process may leave it.
_LEAVING_THE_GROUP = {"setsid": (112, 157), "setpgid": (109, 154)}
_SOCKET, _CLONE = (41, 198), (56, 220)
_AF_UNIX = 1
_NEW_NAMESPACES = 0x7E020000  # mount, cgroup, uts, ipc, user, pid, net

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _MAKE_SOCKET = 1, 2, 4, 8, 1 << 9
_RIGHTS_OF_FILES = 0b111 | 1 << 14 | 1 << 15


def filter_program(*, keep_group: bool) -> bytes:
    """Return the system call filter as BPF: only AF_UNIX sockets, no new namespaces, none of the calls above.

    With `keep_group` no process can leave its process group. Raises `OSError` on an unsupported processor.
    """
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(f"no system call filter for {platform.machine()}")
    column, architecture = _ARCHITECTURES[platform.machine()]
    refused = _REFUSED | (_LEAVING_THE_GROUP if keep_group else {})
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE | _ENOSYS),
    ]
    lines += [line for call in refused.values() for line in _refuse(call[column], _EPERM)]
    lines += [line for call in _ABSENT.values() for line in _refuse(call[column], _ENOSYS)]
    lines += _unless(_CLONE[column], (_ANY_BIT, 0, 1, _NEW_NAMESPACES), [_REFUSE | _EPERM, _ALLOW])
    lines += _unless(_SOCKET[column], (_EQUAL, 0, 1, _AF_UNIX), [_ALLOW, _REFUSE | _EACCES])
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _refuse(number: int, errno: int) -> list[tuple[int, int, int, int]]:
    return [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | errno)]


def _unless(number: int, test: tuple[int, int, int, int], actions: list[int]) -> list[tuple[int, int, int, int]]:
    """For one call, test its first argument: the first action when the test holds, else the second."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        test,
        (_RETURN, 0, 0, actions[0]),
        (_RETURN, 0, 0, actions[1]),
    ]


def has_landlock() -> bool:
    """Return whether this kernel supports Landlock."""
    return bool(_LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1) > 0)


def hide_memory() -> None:
    """Without Landlock, stop child processes of the same user from reading our memory and environment."""
    if not has_landlock():
        _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> NoReturn:
    """Fork and confine the program, exit with its status, and kill its whole group when our parent dies."""
    rules, argv = json.loads(sys.argv[1]), sys.argv[2:]
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0))
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)
    child = os.fork()
    if child == 0:
        _become(argv, rules)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def _become(argv: list[str], rules: dict[str, list[str]]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGXFSZ, signal.SIGPIPE):  # Python ignores the last two; the program must not
        signal.signal(number, signal.SIG_DFL)
    try:
        drop_rights()
        restrict_files(**rules)
        restrict_calls(filter_program(keep_group=True))
        os.execvp(argv[0], argv)  # noqa: S606 -- this is the launcher itself
    except OSError as error:
        sys.stderr.write(f"{NOT_CONFINED}{error}\n")
        sys.stderr.flush()
        os._exit(EXIT_NOT_CONFINED)


def drop_rights() -> None:
    """Drop all capabilities permanently, including those that a set-user-id program would regain."""
    for capability in range(_LAST_CAPABILITY + 1):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails without CAP_SETPCAP, which is fine
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _checked(_LIBC.capset(header, nothing))
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def restrict_calls(program: bytes) -> None:
    """Apply the system call filter to this process and all its descendants."""
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    _checked(_LIBC.prctl(_PR_SET_SECCOMP, 2, described, 0, 0))


def restrict_files(*, readable: list[str], writable: list[str], sockets: list[str]) -> None:
    """Allow only these paths, and new sockets below `sockets`; does nothing without Landlock (Linux 5.13)."""
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version <= 0:
        return
    handled = (1 << (13, 14, 15, 15, 16)[min(version, 5) - 1]) - 1
    # Since version 6, signals and abstract sockets cannot leave the confined group either.
    attributes = struct.pack("=QQQ", handled, 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 8
    ruleset = _checked(_LIBC.syscall(_LANDLOCK_CREATE, attributes, size, 0))
    for path in readable:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_FOLDER)
    for path in ("/dev/null", "/dev/zero", "/dev/full"):
        _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    for path in sockets:
        _allow(ruleset, path, _MAKE_SOCKET)
    for path in writable:
        _allow(ruleset, path, handled)
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    if not Path(path).exists():
        return
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    allowed = rights if Path(path).is_dir() else rights & _RIGHTS_OF_FILES
    _checked(_LIBC.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", allowed, descriptor), 0))
    os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main()
