"""The programs of the stack: arguments, environment and stop order of each.

Every program listens on 127.0.0.1 only and gets a clean environment.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from secrets import token_hex

import msgspec

from deploy.local.errors import ProgramMissing
from deploy.local.home import REPOSITORY, Home, Secrets, write_private
from deploy.local.stack.ports import Ports

BUCKET = "converto"
# The only variables passed on from the terminal; any other could change what a program does.
INHERITED = ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SSL_CERT_FILE")
# CONVERTO_… variables for the stack, the tests, the command line or other servers, not for a service of the stack.
NOT_FOR_SERVICES = (
    *("CONVERTO_TEST_", "CONVERTO_HOME", "CONVERTO_SERVER_URL", "CONVERTO_API_KEY", "CONVERTO_STACK"),
    *("CONVERTO_MONGODB_USER", "CONVERTO_MONGODB_PASSWORD", "CONVERTO_RABBITMQ_USER", "CONVERTO_RABBITMQ_PASSWORD"),
)
STOP_GRACE_S = 10
SHORTEST_COOKIE_BYTES = 20
BROKER_LOG_BYTES = 16 * 1024**2


class Stage(IntEnum):
    """Stop order: a program stops before those it depends on."""

    WORKERS = 0
    SERVICE = 1
    SERVERS = 2
    FOUNDATION = 3


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process. `stop_wait_s`: seconds between SIGTERM and SIGKILL."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    folder: str
    stop_wait_s: int = 10
    stale_files: list[str] = msgspec.field(default_factory=list)
    is_restarted: bool = True

    @property
    def stage(self) -> Stage:
        """When it stops."""
        return stage_of(self.name)


def service_environment(home: Home, ports: Ports, secrets: Secrets, given: Mapping[str, str]) -> dict[str, str]:
    """All CONVERTO_… variables of the services; `given` ones apply unless they would point to other servers."""
    chosen = {
        name: value
        for name, value in given.items()
        if name.startswith("CONVERTO_") and not name.startswith(NOT_FOR_SERVICES)
    }
    defaults = {
        "CONVERTO_STOP_GRACE_S": str(STOP_GRACE_S),
        "CONVERTO_WORKER_SLOTS": "1",
        "CONVERTO_WORK_DIR": str(home.root / "work"),
        "CONVERTO_SEALING_KEY": secrets.sealing_key,
    }
    fixed = {
        "CONVERTO_MONGODB_URL": f"mongodb://127.0.0.1:{ports.mongo}",
        "CONVERTO_RABBITMQ_URL": f"amqp://converto:{secrets.rabbitmq_password}@127.0.0.1:{ports.rabbitmq}/",
        "CONVERTO_S3_ENDPOINT_URL": f"http://127.0.0.1:{ports.s3}",
        "CONVERTO_S3_BUCKET": BUCKET,
        "CONVERTO_S3_ACCESS_KEY_ID": secrets.s3_access_key_id,
        "CONVERTO_S3_SECRET_ACCESS_KEY": secrets.s3_secret_access_key,
        "CONVERTO_S3_ADDRESSING_STYLE": "path",
        "CONVERTO_S3_CREATE_BUCKET": "true",
        "CONVERTO_HOST": "127.0.0.1",
        "CONVERTO_PORT": str(ports.api),
        "CONVERTO_BOOTSTRAP_API_KEY": secrets.api_key,
    }
    return defaults | chosen | fixed


def base_environment(home: Home) -> dict[str, str]:
    """The environment of every program. `CONVERTO_STACK` marks its process, so that orphans can be found."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return environment | {"PATH": os.pathsep.join(paths), "CONVERTO_STACK": str(home.root)}


def epmd(home: Home, ports: Ports) -> Program:
    """Erlang's name server, on loopback only; RabbitMQ would start one that listens on all interfaces."""
    return Program(
        name="epmd",
        argv=[path_of("epmd"), "-address", "127.0.0.1", "-port", str(ports.epmd)],
        environment=base_environment(home),
        folder=str(home.run),
        stop_wait_s=2,
    )


def rabbitmq(home: Home, ports: Ports, secrets: Secrets) -> Program:
    """RabbitMQ as the current user, with its own node, folders, cookie and ports, without plugins."""
    folder = home.data / "rabbitmq"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = folder / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports.rabbitmq}\n"
        "default_user = converto\n"
        f"default_pass = {secrets.rabbitmq_password}\n"
        "log.file = false\n"
        "log.console = true\n"
        "log.console.level = warning\n"
        "log.console.use_colors = off\n"
        # A laptop's disk is often nearly full; below this the broker blocks publishers.
        "disk_free_limit.absolute = 100MB\n"
        # Idle consumers are registered anew again and again, and the broker keeps each command in memory until its log
        # has this size (512 MB by default): some 30 MiB more each hour.
        f"raft.wal_max_size_bytes = {BROKER_LOG_BYTES}\n"
    )
    config.chmod(0o600)
    (folder / "environment.conf").write_text("")  # instead of the machine's /etc/rabbitmq/rabbitmq-env.conf
    (folder / "enabled_plugins").write_text("[].\n")
    _write_cookie(folder / ".erlang.cookie")
    environment = {
        "HOME": str(folder),  # holds the Erlang cookie
        "RABBITMQ_NODENAME": "converto@localhost",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home.logs),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Makes the script exec the Erlang process, so that signals reach it.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    return Program(
        name="rabbitmq",
        argv=[rabbitmq_server()],
        environment=base_environment(home) | environment,
        folder=str(folder),
        stop_wait_s=8,  # it needs two seconds; while it starts it ignores SIGTERM
    )


def _write_cookie(path: Path) -> None:
    """Create the Erlang cookie whole: one that Erlang was killed over is empty, and no node starts with it."""
    if not path.exists() or path.stat().st_size < SHORTEST_COOKIE_BYTES:
        write_private(path, token_hex(16).encode())


def mongo(home: Home, ports: Ports) -> Program:
    """MongoDB if installed, else nx-27017, a small server that speaks its protocol on top of SQLite."""
    mongod = shutil.which("mongod")
    folder = home.data / "mongo" / ("mongod" if mongod else "nx-27017")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = str(ports.mongo)
    pid_file = home.run / "mongo.pid"
    if mongod:
        argv = [mongod, "--dbpath", str(folder), "--bind_ip", "127.0.0.1", "--port", port, "--nounixsocket", "--quiet"]
    else:
        argv = [path_of("nx-27017"), "--data-dir", str(folder), "--host", "127.0.0.1", "--port", port]
        argv += ["--pid-file", str(pid_file), "--log-file", str(home.logs / "nx-27017.log")]
    return Program(
        name="mongo",
        argv=argv,
        environment=base_environment(home),
        folder=str(folder),
        stop_wait_s=20,
        stale_files=[str(pid_file)],
    )


def s3(home: Home, ports: Ports, secrets: Secrets) -> Program:
    """rclone as an S3 server over a folder. The key is passed by environment: all users can read arguments."""
    folder = home.data / "s3"
    (folder / BUCKET).mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_AUTH_KEY": f'"{secrets.s3_access_key_id},{secrets.s3_secret_access_key}"',
        "RCLONE_CACHE_DIR": str(home.run / "rclone"),
    }
    # No ETag of whole objects: rclone would read a large file completely at its first HEAD (2 s per GiB), and converto
    # does not use it. Upload parts keep their ETag.
    plain = ["--etag-hash=", "--vfs-cache-mode", "off", "--log-level", "NOTICE"]
    return Program(
        name="s3",
        argv=[path_of("rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{ports.s3}", *plain],
        environment=base_environment(home) | environment,
        folder=str(folder),
    )


def service(name: str, module: str, *, home: Home, settings: Mapping[str, str]) -> Program:
    """One of converto's services, isolated from the user's AWS configuration files."""
    environment = {
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / folder) for folder in ("libs", "services")),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return Program(
        name=name,
        argv=[sys.executable, "-m", module],
        environment=base_environment(home) | environment | dict(settings),
        folder=str(home.root),
        stop_wait_s=int(float(settings["CONVERTO_STOP_GRACE_S"])) + 5,
    )


def api(home: Home, settings: Mapping[str, str]) -> Program:
    """The file service."""
    return service("api", "file_service", home=home, settings=settings)


def worker(home: Home, settings: Mapping[str, str], number: int) -> Program:
    """One conversion worker, counted from 1."""
    return service(f"worker-{number}", "conversion_worker", home=home, settings=settings)


def stage_of(name: str) -> Stage:
    """When a program of this name stops."""
    if name.startswith("worker-"):
        return Stage.WORKERS
    return {"api": Stage.SERVICE, "epmd": Stage.FOUNDATION, "watchdog": Stage.FOUNDATION}.get(name, Stage.SERVERS)


def watchdog(home: Home, pid: int) -> Program:
    """Stops the stack when the process `pid` ends without stopping it."""
    return Program(
        name="watchdog",
        argv=[sys.executable, "-m", "deploy.local.stack.watchdog", str(pid), str(home.root)],
        environment=base_environment(home) | {"PYTHONPATH": str(REPOSITORY)},
        folder=str(REPOSITORY),
        stop_wait_s=2,
        is_restarted=False,
    )


def rabbitmq_server() -> str:
    """RabbitMQ's own start script; Debian's wrapper on the PATH requires root or the user rabbitmq."""
    own = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return str(own) if own.exists() else path_of("rabbitmq-server")


def path_of(program: str) -> str:
    """Full path of a program, the virtual environment first; raises `ProgramMissing`."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    path = shutil.which(program, path=os.pathsep.join(folders))
    if path is None:
        raise ProgramMissing(program)
    return path
