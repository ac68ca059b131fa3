"""Which port each part of the stack listens on, and what to say when one is taken."""

from collections.abc import Mapping

import msgspec

from deploy.local.errors import PortInUse
from deploy.local.stack.sockets import is_free, listeners, pick_free_ports

VARIABLES = {
    "api": "CONVERTO_PORT",
    "rabbitmq": "CONVERTO_RABBITMQ_PORT",
    "mongo": "CONVERTO_MONGODB_PORT",
    "s3": "CONVERTO_S3_PORT",
    "epmd": "CONVERTO_EPMD_PORT",
    "distribution": "CONVERTO_ERLANG_PORT",
}


class Ports(msgspec.Struct, frozen=True):
    """One port per listener. The defaults stand beside the servers' usual ones, which are often taken."""

    api: int = 8080
    rabbitmq: int = 5682
    mongo: int = 27117
    s3: int = 9010
    epmd: int = 4379
    distribution: int = 25682

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Ports":
        """The defaults, each replaced by its variable where that is set."""
        chosen = {name: environment[variable] for name, variable in VARIABLES.items() if environment.get(variable)}
        return msgspec.convert(chosen, cls, strict=False)

    @classmethod
    def free(cls) -> "Ports":
        """Free ports, for tests and for a second stack on one machine."""
        return cls(*pick_free_ports(len(VARIABLES)))

    def check(self, names: tuple[str, ...]) -> None:
        """Raise `PortInUse` for the first of these listeners whose port somebody else has."""
        for name in names:
            port = int(getattr(self, name))
            if not is_free(port):
                raise PortInUse(name=name, port=port, owner=owner_of(port), variable=VARIABLES[name])


def owner_of(port: int) -> str:
    """`name (pid 12)` of who listens at a port; empty when that cannot be seen."""
    for listener in listeners():
        if listener.port == port and listener.pid:
            return f"{listener.program} (pid {listener.pid})"
    return ""
