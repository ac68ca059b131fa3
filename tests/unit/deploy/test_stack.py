"""The laptop stack without running servers: folders, ports, programs, messages."""

import configparser
import json
import shlex
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from converto_core.access import split_key_text
from converto_infra.settings import Settings
from deploy.local import debian
from deploy.local.errors import PortInUse, StartFailed
from deploy.local.home import LONGEST_SOCKET_PATH, Home
from deploy.local.stack import programs
from deploy.local.stack.health import Health, slowness_by_load
from deploy.local.stack.ports import VARIABLES, Ports, owner_of
from deploy.local.stack.sockets import is_free, listeners, pick_free_ports
from deploy.local.stack.stack import EVERYTHING, Stack, listeners_of
from deploy.local.stack.status_changes import StatusChanges
from deploy.local.stack.supervisor import Process, Supervisor, configuration
from tests.servers import from_environment


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "state")
    home.create()
    return home


def process(name: str = "s3", *, pid: int = 7, state: str = "RUNNING", status: int = 0) -> Process:
    return Process(name=name, statename=state, pid=pid, exitstatus=status, spawnerr="")


def test_secrets_are_stable_and_private(home: Home) -> None:
    first, second = home.secrets(), Home(home.root).secrets()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home.root, home.root / "secrets.json")]

    assert first == second
    assert split_key_text(first.api_key) is not None
    assert modes == [0o700, 0o600]


def test_older_folder_gets_a_sealing_key_once(home: Home) -> None:
    new = home.secrets()
    path = home.root / "secrets.json"
    older = {name: value for name, value in msgspec.json.decode(path.read_bytes()).items() if name != "sealing_key"}
    path.write_bytes(msgspec.json.encode(older))

    first, second = home.secrets(), home.secrets()

    assert first == second == msgspec.structs.replace(new, sealing_key=first.sealing_key)
    assert len(bytes.fromhex(first.sealing_key)) == 32
    assert first.sealing_key != new.sealing_key


def test_secrets_differ_between_folders(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        home = Home(tmp_path / name)
        home.create()
        made.append(home.secrets())

    assert made[0].api_key != made[1].api_key
    assert made[0].s3_secret_access_key != made[1].s3_secret_access_key


def test_socket_path_of_a_deep_folder_fits(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("long-name-" * 12))
    shallow = Home(Path("/srv/converto"))

    assert len(str(deep.socket)) <= LONGEST_SOCKET_PATH
    assert shallow.socket == Path("/srv/converto/run/supervisor.sock")


def test_variables_replace_single_ports() -> None:
    ports = Ports.from_environment({"CONVERTO_PORT": "9999", "CONVERTO_S3_PORT": "", "PATH": "/bin"})

    assert ports == Ports(api=9999)


def test_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        Ports.from_environment({"CONVERTO_PORT": "http"})


def test_port_in_use_names_port_owner_and_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as refused:
            Ports(s3=port).check(("s3",))

    assert f"Port {port} for s3 is in use" in str(refused.value)
    assert "pid" in str(refused.value)
    assert "CONVERTO_S3_PORT=" in str(refused.value)


def test_port_of_a_dying_process_is_waited_for() -> None:
    """Its listening sockets go last, when it can no longer be seen whose they are."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        one, other = socket.socketpair()
        socket.send_fds(one, [b"x"], [listener.fileno()])  # now it belongs to a message, not to a process
    assert not is_free(port)
    assert owner_of(port) == ""

    with one, other, ThreadPoolExecutor(1) as thread:
        checking = thread.submit(Ports(s3=port).check, ("s3",))
        other.close()  # drops the message, and the listening socket with it
        assert checking.result(timeout=5) is None


def test_port_that_stays_taken_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        one, other = socket.socketpair()
        socket.send_fds(one, [b"x"], [listener.fileno()])
    with one, other, pytest.raises(PortInUse):
        Ports(s3=port).check(("s3",), within_s=0.1)


def test_cookie_that_erlang_was_killed_over_is_replaced(home: Home) -> None:
    """No node starts with an empty one; a good one stays, because a running node has read it."""
    cookie = home.data / "rabbitmq" / ".erlang.cookie"
    programs.rabbitmq(home, Ports(), home.secrets())
    first = cookie.read_text()
    programs.rabbitmq(home, Ports(), home.secrets())
    kept = cookie.read_text()
    cookie.write_text("")
    programs.rabbitmq(home, Ports(), home.secrets())

    assert kept == first
    assert len(cookie.read_text()) >= 20
    assert stat.S_IMODE(cookie.stat().st_mode) == 0o600


def test_free_ports_are_distinct_and_free() -> None:
    picked = pick_free_ports(len(VARIABLES))

    assert len(set(picked)) == len(VARIABLES)
    assert all(is_free(port) for port in picked)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_listening_socket_is_found_with_its_address(family: int, address: str) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        port = server.getsockname()[1]
        found = [listener for listener in listeners() if listener.port == port]

    assert [listener.address for listener in found] == [address]
    assert found[0].pid > 0


def test_all_three_broker_ports_are_checked() -> None:
    assert set(listeners_of(EVERYTHING)) == set(VARIABLES)
    assert listeners_of(("workers",)) == ()


def test_every_service_variable_is_a_setting(home: Home) -> None:
    settings = programs.service_environment(home, Ports(), home.secrets(), {})
    known = {f"CONVERTO_{name.upper()}" for name in Settings.model_fields}

    assert set(settings) <= known


def test_user_variables_cannot_redirect_services(home: Home) -> None:
    given = {
        "CONVERTO_LOG_LEVEL": "debug",
        "CONVERTO_WORKER_SLOTS": "3",
        "CONVERTO_MONGODB_URL": "mongodb://production",
        "CONVERTO_RABBITMQ_PASSWORD": "production",
        "CONVERTO_HOST": "0.0.0.0",
        "CONVERTO_API_KEY": "cvt_a_b",
        "CONVERTO_TEST_MONGODB_URL": "mongodb://test",
        "AWS_PROFILE": "production",
    }
    settings = programs.service_environment(home, Ports(), home.secrets(), given)

    assert settings["CONVERTO_LOG_LEVEL"] == "debug"
    assert settings["CONVERTO_WORKER_SLOTS"] == "3"
    assert settings["CONVERTO_MONGODB_URL"] == "mongodb://127.0.0.1:27117"
    assert settings["CONVERTO_HOST"] == "127.0.0.1"
    others = {"CONVERTO_API_KEY", "CONVERTO_TEST_MONGODB_URL", "CONVERTO_RABBITMQ_PASSWORD", "AWS_PROFILE"}
    assert not others & set(settings)


def test_no_secret_is_a_program_argument(home: Home) -> None:
    secrets = home.secrets()
    built = [
        programs.s3(home, Ports(), secrets),
        programs.api(home, Stack(home).environment),
        programs.mongo(home, Ports()),
    ]
    words = " ".join(word for program in built for word in program.argv)

    assert not any(secret in words for secret in (secrets.api_key, secrets.s3_secret_access_key))
    assert secrets.s3_secret_access_key in built[0].environment["RCLONE_AUTH_KEY"]


def test_dependent_programs_stop_first() -> None:
    order = sorted(["epmd", "rabbitmq", "api", "worker-2"], key=programs.stage_of)

    assert order == ["worker-2", "api", "rabbitmq", "epmd"]


def test_configuration_survives_blanks_and_percent_signs(tmp_path: Path) -> None:
    home = Home(tmp_path / "my 100% folder")
    home.create()
    config = configparser.RawConfigParser()
    config.read_string(configuration(home, [programs.api(home, Stack(home).environment)]))
    command = config["program:api"]["command"] % {}

    assert shlex.split(command)[-2:] == [str(home.run / "programs.json"), "api"]
    assert home.secrets().api_key not in json.dumps({name: dict(config[name]) for name in config.sections()})


def changes(before: Process, *later: Process, logs: Path = Path("logs")) -> list[str]:
    """The lines of all reports of one program after the first."""
    reports = StatusChanges({"s3": before}, logs)
    return [line for process in later for line in reports.report({"s3": process})]


def test_restarted_program_is_one_line(tmp_path: Path) -> None:
    lines = changes(process(pid=7), process(pid=8), logs=tmp_path)

    assert lines == [f"s3 (pid 7) ended unexpectedly and runs again as pid 8. Its log is {tmp_path}/s3.log"]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (process(pid=7), process(pid=0, state="BACKOFF", status=3), "ended unexpectedly (exit status 3)"),
        (process(pid=7), process(pid=0, state="EXITED", status=-1), "ended unexpectedly (by a signal)"),
        (process(pid=0, state="BACKOFF"), process(pid=9), "runs again as pid 9"),
        (process(pid=7), process(pid=8, state="STARTING"), "ended unexpectedly (exit status 0) and is started again"),
    ],
)
def test_ended_program_is_described(before: Process, now: Process, words: str) -> None:
    (line,) = changes(before, now)

    assert words in line


def test_unchanged_programs_print_nothing() -> None:
    assert changes(process(), process()) == []


@pytest.mark.parametrize(
    ("before", "now"), [("BACKOFF", "FATAL"), ("FATAL", "STARTING"), ("STARTING", "BACKOFF"), ("BACKOFF", "STARTING")]
)
def test_program_that_keeps_ending_is_told_once(before: str, now: str) -> None:
    pids = {"STARTING": 8}
    states = [process(pid=pids.get(state, 0), state=state, status=1) for state in (before, now)]

    assert len(changes(process(), *states)) == 1


def test_requested_stop_prints_nothing() -> None:
    assert changes(process(), process(pid=0, state="STOPPED")) == []


@pytest.mark.parametrize("looks", [0, 1, 5])
def test_first_second_of_a_program_is_no_change(looks: int) -> None:
    """A program that has just been started is killed before supervisord calls it RUNNING."""
    reports = StatusChanges({"s3": process(state="STARTING")}, Path("logs"))
    for _ in range(looks):
        assert list(reports.report({"s3": process(state="STARTING")})) == []
    (line,) = reports.report({"s3": process(pid=8, state="RUNNING")})

    assert line.startswith("s3 (pid 7) ended unexpectedly and runs again as pid 8")


def test_program_that_stays_after_its_first_second_is_no_change() -> None:
    states = [process(state="STARTING"), process(state="STARTING"), process()]

    assert changes(*states) == []


def test_start_failure_includes_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))

    text = str(StartFailed("api", "ended while starting (exit status 1)", log))

    assert text.startswith("api ended while starting (exit status 1). Its log is ")
    assert "line 99" in text
    assert "line 50" not in text


def test_any_alternative_package_name_suffices() -> None:
    wanted = [["bubblewrap"], ["libvips42", "libvips42t64"], ["libmagic1", "libmagic1t64"]]

    assert debian.still_missing(wanted, {"libvips42t64"}) == [["bubblewrap"], ["libmagic1", "libmagic1t64"]]


def test_desktop_libreoffice_is_extended_and_not_replaced() -> None:
    wanted = [["libreoffice-calc-nogui", "libreoffice-calc"], ["libreoffice-writer-nogui", "libreoffice-writer"]]

    assert debian.still_missing(wanted, {"libreoffice-core", "libreoffice-writer"}) == [["libreoffice-calc"]]


def test_package_list_holds_what_the_stack_starts() -> None:
    names = {name for names in debian.wanted_packages() for name in names}

    assert {"rabbitmq-server", "python3-uno", "bubblewrap", "libreoffice-impress-nogui"} <= names
    assert not any(" " in name for name in names)


def test_incomplete_server_variables_name_the_missing_ones() -> None:
    assert from_environment({}) is None
    with pytest.raises(LookupError, match="CONVERTO_TEST_RABBITMQ_URL"):
        from_environment({"CONVERTO_TEST_MONGODB_URL": "mongodb://127.0.0.1"})


class RunningSupervisor(Supervisor):
    """A supervisor whose epmd runs, healthy or not."""

    def processes(self) -> dict[str, Process]:
        return {"epmd": process("epmd")}


def health_of(home: Home, ports: Ports, slowness: Callable[[], float]) -> Health:
    return Health(
        RunningSupervisor(home),
        ports=ports,
        settings={},
        logs=home.logs,
        report=lambda name, seconds: None,
        slowness=slowness,
    )


async def test_part_that_is_slow_is_waited_for(home: Home) -> None:
    ports, looks = Ports.free(), []
    with socket.socket() as listener:

        def slowness() -> float:
            looks.append(1)
            if len(looks) == 3:
                listener.bind(("127.0.0.1", ports.epmd))
                listener.listen()
            return 10.0

        await health_of(home, ports, slowness).wait("epmd")

    assert len(looks) == 3


async def test_part_that_never_becomes_healthy_fails(home: Home) -> None:
    allowed = [1.0, 1.0, 0.0]

    with pytest.raises(StartFailed, match="epmd is not healthy after"):
        await health_of(home, Ports.free(), lambda: allowed.pop(0)).wait("epmd")


def test_machine_counts_as_at_most_ten_times_slower() -> None:
    assert 1.0 <= slowness_by_load() <= 10.0
