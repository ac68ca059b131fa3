"""Finds listening TCP sockets and their processes in /proc, and free ports. Finds none on other systems than Linux."""

import errno
import ipaddress
import os
import random
import socket
from collections.abc import Collection
from pathlib import Path

import msgspec

LISTENING = "0A"  # state TCP_LISTEN in /proc/net/tcp
# Below the range that Linux uses for outgoing connections, so that none of them takes a port first.
FREE_PORTS = range(12_000, 32_000)


class Listener(msgspec.Struct, frozen=True):
    """One listening TCP socket; `pid` is 0 and `program` empty when its owner is not visible."""

    address: str
    port: int
    pid: int
    program: str


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def pick_free_ports(count: int) -> list[int]:
    """`count` distinct free ports, chosen at random so that two callers rarely collide."""
    picked: list[int] = []
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if is_free(port):
            picked.append(port)
        if len(picked) == count:
            break
    return picked


def listeners(pids: Collection[int] | None = None) -> list[Listener]:
    """All listening TCP sockets of this machine, or only those of the given processes."""
    owners = _owners_of_sockets(pids)
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for address, port, inode in _listening_rows(Path(table)):
            pid = owners.get(inode, 0)
            if pids is None or pid in pids:
                found.append(Listener(address, port, pid, _program_of(pid)))
    return found


def _listening_rows(table: Path) -> list[tuple[str, int, str]]:
    if not table.exists():
        return []
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return [(*_decode_endpoint(row[1]), row[9]) for row in rows if row[3] == LISTENING]


def _decode_endpoint(text: str) -> tuple[str, int]:
    """`0100007F:1F90` is 127.0.0.1:8080: groups of four bytes in host byte order, then the port in hex."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)


def _owners_of_sockets(pids: Collection[int] | None) -> dict[str, int]:
    owners: dict[str, int] = {}
    folders = Path("/proc").glob("[0-9]*/fd") if pids is None else [Path(f"/proc/{pid}/fd") for pid in pids]
    for folder in folders:
        for link in _links_of(folder):
            if link.startswith("socket:["):
                owners[link[len("socket:[") : -1]] = int(folder.parent.name)
    return owners


def _links_of(folder: Path) -> list[str]:
    """The open descriptors of a process; empty when it has ended or belongs to another user."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - plain names suffice
    except OSError:
        return []
    return [_link(folder / name) for name in names]


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - "socket:[1]" is not a path
    except OSError:  # closed meanwhile
        return ""


def _program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
    except OSError:
        return ""
