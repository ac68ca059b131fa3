"""The ports of the stack."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deploy.local.errors import PortInUse
from deploy.local.stack.sockets import is_free, listeners, pick_free_ports

FREED_WITHIN_S = 10.0
VARIABLES = {
    "api": "CONVERTO_PORT",
    "rabbitmq": "CONVERTO_RABBITMQ_PORT",
    "mongo": "CONVERTO_MONGODB_PORT",
    "s3": "CONVERTO_S3_PORT",
    "epmd": "CONVERTO_EPMD_PORT",
    "distribution": "CONVERTO_ERLANG_PORT",
}


class Ports(msgspec.Struct, frozen=True):
    """One port for each listener. The defaults differ from the servers' usual ports, which are often in use."""

    api: int = 8080
    rabbitmq: int = 5682
    mongo: int = 27117
    s3: int = 9010
    epmd: int = 4379
    distribution: int = 25682

    @property
    def api_url(self) -> str:
        """URL of the file service."""
        return f"http://127.0.0.1:{self.api}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Ports":
        """The defaults, each overridden by its variable."""
        chosen = {name: environment[variable] for name, variable in VARIABLES.items() if environment.get(variable)}
        return msgspec.convert(chosen, cls, strict=False)

    @classmethod
    def free(cls) -> "Ports":
        """Free ports, for tests and for a second stack on one machine."""
        return cls(*pick_free_ports(len(VARIABLES)))

    def check(self, names: tuple[str, ...], *, within_s: float = FREED_WITHIN_S) -> None:
        """Raise `PortInUse` for the first of these listeners whose port is taken and does not become free."""
        for name in names:
            port = int(getattr(self, name))
            if not becomes_free(port, within_s=within_s):
                raise PortInUse(name=name, port=port, owner=owner_of(port), variable=VARIABLES[name])


def becomes_free(port: int, *, within_s: float) -> bool:
    """Whether the port is free, or becomes so in this time because nothing that lives listens on it.

    After SIGKILL a large process needs seconds to die on a busy machine. It loses its environment first, so that
    nobody can tell to which stack it belonged, and its listening sockets last.
    """
    deadline = time.monotonic() + within_s
    while not is_free(port):
        if owner_of(port) or time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def owner_of(port: int) -> str:
    """`name (pid 12)` of the process that listens on a port; empty when it is not visible, or is dying."""
    for listener in listeners():
        if listener.port == port and listener.pid and _has_memory(listener.pid):
            return f"{listener.program} (pid {listener.pid})"
    return ""


def _has_memory(pid: int) -> bool:
    """Whether the process lives: the kernel takes the memory of a dying one first, and its arguments with it."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
