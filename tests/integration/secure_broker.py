"""A RabbitMQ of its own, as Amazon MQ runs it: AMQP with TLS, the management API with TLS, one administrator."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from deploy.local.home import Home
from deploy.local.stack import programs
from deploy.local.stack.ports import Ports
from deploy.local.stack.programs import Program
from deploy.local.stack.sockets import pick_free_ports
from tests.certificates import Certificates, make_certificates

UP_WITHIN_S = 60
STARTED = "completed with"  # RabbitMQ's banner ends with it when everything listens


class SecureBroker(msgspec.Struct, frozen=True):
    """Where it is, and who administers it."""

    url: str
    management_url: str
    administrator: str
    password: str
    certificates: Certificates


@contextmanager
def secure_broker(folder: Path) -> Iterator[SecureBroker]:
    """Start it in this folder, and stop it at the end; raises `ProgramMissing`."""
    home = Home(folder)
    home.create()
    ports, (amqps, management) = Ports.free(), pick_free_ports(2)
    certificates = make_certificates(folder)
    broker = programs.rabbitmq(home, ports, home.secrets())
    data = Path(broker.folder)
    with (data / "rabbitmq.conf").open("a") as config:
        config.write(_listeners(amqps, management, certificates))
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    with _running(programs.epmd(home, ports)) as names, _running(broker) as process:
        _read_in_background(names)
        _wait_until_started(process)
        yield SecureBroker(
            url=f"amqps://127.0.0.1:{amqps}/",
            management_url=f"https://127.0.0.1:{management}",
            administrator="converto",
            password=home.secrets().rabbitmq_password,
            certificates=certificates,
        )


def _listeners(amqps: int, management: int, certificates: Certificates) -> str:
    files = {
        "cacertfile": certificates.authority,
        "certfile": certificates.server,
        "keyfile": certificates.key,
    }
    lines = [f"listeners.ssl.1 = 127.0.0.1:{amqps}", "management.ssl.ip = 127.0.0.1"]
    lines += [f"management.ssl.port = {management}"]
    lines += [f"{part}.{name} = {path}" for part in ("ssl_options", "management.ssl") for name, path in files.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def _running(program: Program) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        program.argv,
        env=program.environment,
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()  # nothing in it is kept, and an orderly stop takes RabbitMQ seven seconds
        process.wait()


def _wait_until_started(process: subprocess.Popen[str]) -> None:
    started, printed = threading.Event(), list[str]()

    def keep(line: str) -> None:
        printed.append(line)
        if STARTED in line:
            started.set()

    _read_in_background(process, keep, started.set)
    assert started.wait(UP_WITHIN_S) and process.poll() is None, "".join(printed[-40:])


def _read_in_background(
    process: subprocess.Popen[str],
    on_line: Callable[[str], None] = lambda line: None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Read what a process prints until it ends, so that it never waits for a full pipe."""

    def read(output: IO[str]) -> None:
        with output:
            for line in output:
                on_line(line)
        on_end()

    assert process.stdout is not None
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
