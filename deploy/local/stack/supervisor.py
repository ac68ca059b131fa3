"""Controls supervisord, which keeps the programs of the stack running."""

import configparser
import contextlib
import getpass
import http.client
import io
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from deploy.local.errors import SupervisorGone
from deploy.local.home import REPOSITORY, Home, write_private
from deploy.local.stack.programs import Program

# Its socket refuses at once when it is dead, so only a slow one takes long, and a slow one is not gone.
ANSWER_WITHIN_S = 60.0
START_WITHIN_S = 60.0
LOG_BYTES = 10 * 1024 * 1024
# Each retry waits one second longer, up to five seconds; then the restarter begins anew.
START_TRIES = 5
RESTARTER = "restarter"


class Process(msgspec.Struct, frozen=True):
    """The status of one program. `pid` is 0 when it does not run; `spawnerr` says why it could not start."""

    name: str
    statename: str
    pid: int
    exitstatus: int
    spawnerr: str

    @property
    def has_ended(self) -> bool:
        """Whether it has no running process."""
        return self.statename in {"STOPPED", "EXITED", "FATAL", "BACKOFF", "UNKNOWN"}

    @property
    def is_given_up(self) -> bool:
        """Whether supervisord does not start it again by itself; the restarter does."""
        return self.statename == "FATAL"

    @property
    def keeps_ending(self) -> bool:
        """Whether it has ended at once and waits for its next start."""
        return self.statename in {"BACKOFF", "FATAL"}

    @property
    def how_it_ended(self) -> str:
        """Readable reason: the exit status, a signal, or why it could not start."""
        if self.exitstatus < 0:
            return "by a signal"
        return f"exit status {self.exitstatus}" if self.exitstatus else self.spawnerr or "exit status 0"


class Supervisor:
    """The supervisord of one state folder, started by this object or by an earlier command."""

    def __init__(self, home: Home, *, start_tries: int = START_TRIES) -> None:
        """`start_tries` sets the longest pause (s) between two starts of a program that keeps ending."""
        self._home = home
        self._start_tries = start_tries
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, programs: Sequence[Program]) -> None:
        """Start supervisord with these programs, all stopped."""
        home = self._home
        self.has_child_ended()  # reaps an earlier one that was killed
        content = {program.name: program for program in programs}
        write_private(home.run / "programs.json", msgspec.json.encode(content))
        config = home.run / "supervisord.conf"
        write_private(config, configuration(home, programs, start_tries=self._start_tries).encode())
        home.socket.unlink(missing_ok=True)
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (home.logs / "supervisord.out.log").open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)],
                cwd=home.run,
                env=environment | {"CONVERTO_STACK": str(home.root)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach `up` only, which stops the programs in order
            )
        self._wait_for_answer()

    def pid(self) -> int | None:
        """Process id of supervisord, None when it does not answer."""
        try:
            return int(cast(int, self._ask("getPID")))
        except SupervisorGone:
            return None

    def processes(self) -> dict[str, Process]:
        """The status of all programs by name; raises `SupervisorGone`."""
        answer = self._ask("getAllProcessInfo")
        found = msgspec.convert(answer, list[Process])
        return {process.name: process for process in found if process.name != RESTARTER}

    def start_program(self, name: str) -> None:
        """Start one program and return at once."""
        self._ask("startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Send SIGTERM to one program and return at once; supervisord kills it when it takes too long."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it has ended meanwhile
            self._ask("stopProcess", name, False)

    def stop_restarting(self) -> None:
        """Leave programs alone from now on that keep ending, so that all can be stopped."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            self._ask("stopProcess", RESTARTER)

    def shut_down(self) -> None:
        """Ask supervisord to exit and to stop what it still runs."""
        with contextlib.suppress(SupervisorGone, xmlrpc.client.Fault):
            self._ask("shutdown")

    def has_child_ended(self) -> bool:
        """Whether the supervisord started by this object has ended; reaps it."""
        return self._child is None or self._child.poll() is not None

    def kill(self) -> None:
        """Kill supervisord; its programs become orphans for `kill_orphans`."""
        pid = self._child.pid if self._child and self._child.poll() is None else self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._child:
            self._child.wait(ANSWER_WITHIN_S)

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while self.pid() is None:
            if self.has_child_ended() or time.monotonic() > deadline:
                raise SupervisorGone(f"supervisord did not start. Its log is {self._home.logs / 'supervisord.out.log'}")
            time.sleep(0.02)

    def _ask(self, method: str, *arguments: Any) -> object:
        transport = UnixTransport(self._home.socket)
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorGone(f"the supervisor does not answer at {self._home.socket}: {error}") from error


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, with a timeout."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Called by the base class for each request; it closes `_connection` afterwards."""
        connection = UnixConnection(self._path)
        self._connection = host, connection
        return connection


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


def configuration(home: Home, programs: Sequence[Program], *, start_tries: int = START_TRIES) -> str:
    """The ini file of supervisord. Programs start on request; `priority` orders them if supervisord stops alone."""
    config = configparser.RawConfigParser()
    config["supervisord"] = {
        "logfile": _text(home.logs / "supervisord.log"),
        "logfile_maxbytes": str(LOG_BYTES),
        "logfile_backups": "1",
        "pidfile": _text(home.run / "supervisord.pid"),
        "childlogdir": _text(home.logs),
        "user": getpass.getuser(),
    }
    config["unix_http_server"] = {"file": _text(home.socket), "chmod": "0700"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        config[f"program:{program.name}"] = _section(home, program) | {"startretries": str(start_tries)}
    config[f"eventlistener:{RESTARTER}"] = _restarter(home, programs)
    output = io.StringIO()
    config.write(output)
    return output.getvalue()


def _section(home: Home, program: Program) -> dict[str, str]:
    launcher = Path(__file__).with_name("launch.py")
    command = [sys.executable, str(launcher), str(home.run / "programs.json"), program.name]
    return {
        "command": _text(shlex.join(command)),
        "autostart": "false",
        "autorestart": "true" if program.is_restarted else "false",
        "startsecs": "1",
        "stopsignal": "TERM",
        "stopwaitsecs": str(program.stop_wait_s),
        "killasgroup": "true",
        "priority": str(100 - 10 * program.stage),
        "redirect_stderr": "true",
        "stdout_logfile": _text(home.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": "2",
    }


def _restarter(home: Home, programs: Sequence[Program]) -> dict[str, str]:
    names = [program.name for program in programs if program.is_restarted]
    command = [sys.executable, "-m", "deploy.local.stack.restarter", str(home.root), *names]
    return {
        "command": _text(shlex.join(command)),
        "directory": _text(REPOSITORY),
        "events": "PROCESS_STATE_FATAL,TICK_5",
        "autorestart": "true",
        "startretries": str(10**9),  # nobody restarts the restarter
        "stderr_logfile": _text(home.logs / f"{RESTARTER}.log"),
        "stderr_logfile_maxbytes": str(LOG_BYTES),
        "stderr_logfile_backups": "1",
    }


def _text(value: str | Path) -> str:
    """Escape a value, because supervisord expands `%(…)s`."""
    return str(value).replace("%", "%%")
