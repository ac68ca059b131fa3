"""The sandbox: every limit, the deadline and every restriction, in both modes of confinement."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from converto_core.errors import EngineCrashed, EngineMissing, EngineTimeout, LimitExceeded
from converto_engines.converter import Limits
from converto_engines.runtime.process import NotConfined, ProcessResult, Sandbox
from converto_engines.runtime.process_tree import descendants_of, folder_bytes, usage_of
from tests.engines.canary import Canary
from tests.engines.conftest import until

MIB = 1024**2
GENEROUS = Limits(wall_s=30, cpu_s=30, memory_bytes=1024 * MIB, file_bytes=64 * MIB)

Run = Callable[..., Awaitable[ProcessResult]]


@pytest.fixture(params=["bubblewrap", "seccomp"])
async def box(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return await Sandbox.choose(request.param)
    except EngineMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def run(box: Sandbox, tmp_path: Path) -> Run:
    folder = tmp_path / "job"
    folder.mkdir()

    async def run_in_folder(*argv: str, limits: Limits = GENEROUS, **more: object) -> ProcessResult:
        return await box.run(argv, folder=folder, limits=limits, **more)  # type: ignore[arg-type]

    return run_in_folder


def python(program: str) -> list[str]:
    return ["python3", "-I", "-c", program]


def running_with(mark: str) -> list[str]:
    """Command lines of all living processes that have `mark` among their arguments; a zombie has none."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            lines.append((process / "cmdline").read_text().replace("\0", " "))
    return [line for line in lines if mark in line.split()]


def is_running(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


async def test_run_returns_status_output_and_time(run: Run) -> None:
    result = await run("sh", "-c", "echo out; echo oops >&2; exit 3")

    assert (result.exit_code, result.stdout, result.stderr_tail) == (3, b"out\n", "oops\n")
    assert 0 < result.wall_s < 30


async def test_lines_are_passed_on_while_it_runs(run: Run) -> None:
    lines: list[str] = []

    await run("sh", "-c", "printf 'one\\r\\ntwo\\nthree'", on_line=lines.append)

    assert lines == ["one", "two", "three"]


async def test_error_of_the_line_callback_ends_the_program(run: Run) -> None:
    def refuse(line: str) -> None:
        raise LimitExceeded(f"enough of {line}")

    with pytest.raises(LimitExceeded, match="enough of tick"):
        await run("sh", "-c", "echo tick; sleep 30", on_line=refuse)


async def test_missing_program_is_named(run: Run) -> None:
    with pytest.raises(EngineMissing, match="no-such-program"):
        await run("no-such-program")


async def test_program_killed_by_signal_is_engine_crashed(run: Run) -> None:
    with pytest.raises(EngineCrashed):
        await run("sh", "-c", "kill -SEGV $$")


async def test_sandbox_failure_does_not_blame_the_file(box: Sandbox, tmp_path: Path) -> None:
    argv = ["true"] if box.name == "bubblewrap" else [str(tmp_path / "not-executable")]
    readable = [tmp_path / "no-such-folder"] if box.name == "bubblewrap" else []
    (tmp_path / "not-executable").write_text("#!/no/such/interpreter\n")
    (tmp_path / "not-executable").chmod(0o755)

    with pytest.raises(NotConfined, match="sandbox") as failure:
        await box.run(argv, folder=tmp_path, limits=GENEROUS, readable=readable)

    assert failure.value.stable_code == "engine_missing"


async def test_deadline_kills_grandchildren_in_new_sessions(run: Run, tmp_path: Path) -> None:
    mark = f"4{os.getpid()}"
    program = f"setsid sleep {mark} & setsid -f sleep {mark} & sleep {mark} & sleep {mark}"

    with pytest.raises(EngineTimeout, match="1 s"):
        await run("sh", "-c", program, limits=Limits(wall_s=1))

    assert running_with(mark) == []


async def test_cancelled_run_leaves_nothing(run: Run, tmp_path: Path) -> None:
    mark = f"5{os.getpid()}"
    started = asyncio.Event()
    running = asyncio.create_task(
        run("sh", "-c", f"sleep {mark} & echo go; sleep {mark}", on_line=lambda _: started.set())
    )
    async with asyncio.timeout(20):
        await started.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert running_with(mark) == []
    assert list((tmp_path / "job").iterdir()) == []


async def test_background_child_does_not_delay_the_result(run: Run) -> None:
    mark = f"6{os.getpid()}"

    result = await run("sh", "-c", f"sleep {mark} & exit 0", limits=Limits(wall_s=20))

    assert result.wall_s < 10
    assert running_with(mark) == []


async def test_memory_limit_is_enforced(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="64 MB of memory"):
        await run(
            *python("import time; b = bytearray(200 << 20); time.sleep(20)"),
            limits=Limits(wall_s=20, memory_bytes=64 * MIB),
        )


async def test_cpu_limit_is_enforced(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="1 s of computing time"):
        await run("sh", "-c", "while :; do :; done", limits=Limits(wall_s=30, cpu_s=1))


async def test_cpu_limit_counts_all_children(run: Run) -> None:
    spin = "while :; do :; done"

    with pytest.raises(LimitExceeded, match="2 s of computing time"):
        await run("sh", "-c", f"({spin}) & ({spin}) & ({spin}) & wait", limits=Limits(wall_s=60, cpu_s=2))


async def test_file_size_limit_is_enforced(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="larger than 2 MB"):
        await run("sh", "-c", "exec head -c 9000000 /dev/zero > big", limits=Limits(wall_s=20, file_bytes=2 * MIB))


async def test_total_size_of_files_is_limited(run: Run) -> None:
    program = "for i in 1 2 3 4 5 6; do head -c 1000000 /dev/zero > x$i; done; exec sleep 20"

    with pytest.raises(LimitExceeded, match="wrote more than 2 MB"):
        await run("sh", "-c", program, limits=Limits(wall_s=20, file_bytes=2 * MIB))


async def test_size_limit_ignores_the_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "job" / "source").write_bytes(bytes(3 * MIB))

    result = await run("sleep", "1.6", limits=Limits(wall_s=20, file_bytes=2 * MIB))

    assert result.exit_code == 0


async def test_flooded_output_keeps_its_tail(run: Run) -> None:
    result = await run(*python("import sys\nfor i in range(300000): print(i)\nsys.stderr.write('x' * 300000 + 'end')"))

    assert len(result.stdout) == len(result.stderr_tail) == 64 * 1024
    assert result.stdout.endswith(b"299999\n") and result.stderr_tail.endswith("xend")


async def test_process_limit_is_enforced(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="too many processes"):
        await run("sh", "-c", "i=0; while [ $i -lt 600 ]; do sleep 20 & i=$((i+1)); done; wait")


async def test_program_inherits_no_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_S3_SECRET_ACCESS_KEY", "canary-value")

    result = await run("env", environment={"OMP_NUM_THREADS": "1"})

    names = {line.partition("=")[0] for line in result.stdout.decode().splitlines()}
    assert names - {"PWD"} == {"PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS"}


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
async def test_network_sockets_are_refused(run: Run, family: str) -> None:
    result = await run(*python(f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW)"))

    assert result.exit_code == 1
    assert "PermissionError" in result.stderr_tail


async def test_network_connections_reach_no_server(run: Run, canary: Canary, tmp_path: Path) -> None:
    port, visitors = canary.port, canary.requests
    call = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()"

    confined = await run(*python(call))
    bare = await Sandbox("off").run(python(call), folder=tmp_path, limits=GENEROUS)
    await until(lambda: len(visitors) > 0)

    assert confined.exit_code == 1 and bare.exit_code == 0
    assert len(visitors) == 1  # by the unconfined program: the canary works


async def test_other_folders_are_unreadable(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other-job"
    other.mkdir()
    (other / "source").write_text("secret of another job")

    result = await run("sh", "-c", f"cat {other}/source; ls {other}; cat /etc/passwd; cat /etc/shadow")

    assert result.stdout == b""


async def test_other_folders_are_not_writable(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other-job").mkdir()
    targets = [f"{tmp_path}/other-job/x", "/usr/x-canary", "/etc/x-canary", "/var/tmp/x-canary", "/x-canary"]

    result = await run("sh", "-c", "; ".join(f"(echo x > {target}) 2>/dev/null && echo wrote" for target in targets))

    # With bubblewrap the empty root is private and writable, so only the host's files count.
    assert result.stdout.count(b"wrote") <= 2
    assert not any(Path(target).exists() for target in targets)


async def test_path_inside_names_files_of_the_job_folder(box: Sandbox, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    (folder / "in").write_text("content")

    result = await run("cp", box.path_inside(folder, folder / "in"), box.path_inside(folder, folder / "out"))

    assert result.exit_code == 0
    assert (folder / "out").read_text() == "content"
    with pytest.raises(ValueError, match="subpath"):
        box.path_inside(folder, tmp_path / "elsewhere")


async def test_temporary_folder_is_removed_after_the_run(run: Run, tmp_path: Path) -> None:
    result = await run("sh", "-c", 'echo x > "$TMPDIR/left" && cat "$TMPDIR/left"')

    assert result.stdout == b"x\n"
    assert list((tmp_path / "job").iterdir()) == []


async def test_readable_folder_is_read_only(run: Run, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "book").write_text("open book")

    result = await run("sh", "-c", f"cat {shelf}/book; echo x > {shelf}/new", readable=[shelf])

    assert result.stdout == b"open book"
    assert not (shelf / "new").exists()


@pytest.mark.parametrize(
    ("call", "number"),
    [("ptrace", 101), ("unshare", 272), ("mount", 165), ("bpf", 321), ("setns", 308), ("keyctl", 250)],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
async def test_dangerous_system_calls_are_refused(run: Run, call: str, number: int) -> None:
    program = f"import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.syscall({number}, 0, 0, 0, 0); "

    result = await run(*python(program + "print(os.strerror(ctypes.get_errno()))"))

    assert result.stdout == b"Operation not permitted\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is a way of x86_64")
async def test_x32_system_calls_do_not_exist(run: Run) -> None:
    program = "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.syscall(0x40000000 + 41, 2, 1, 0); "

    result = await run(*python(program + "print(os.strerror(ctypes.get_errno()))"))

    assert result.stdout == b"Function not implemented\n"


async def test_program_has_no_capabilities(run: Run) -> None:
    result = await run("cat", "/proc/self/status", "/proc/self/oom_score_adj")

    told = dict(line.split(":\t", 1) for line in result.stdout.decode().splitlines() if ":\t" in line)
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == int(told["CapBnd"], 16) == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert result.stdout.decode().splitlines()[-1] == "1000"


async def test_environment_of_the_worker_is_unreadable(run: Run) -> None:
    result = await run("sh", "-c", f"cat /proc/{os.getpid()}/environ; kill -0 {os.getpid()}")

    assert result.stdout == b""
    assert result.exit_code != 0


ECHO = """
import json, os, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if "sleep" in message: print("asleep", file=sys.stderr, flush=True); time.sleep(message["sleep"])
    if "eat" in message: held = bytearray(message["eat"]); time.sleep(5)
    if "spin" in message:
        while True: pass
    if "die" in message: os._exit(7)
    print(json.dumps({"got": message, "pid": os.getpid()}), flush=True)
"""


async def test_child_answers_two_requests(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)

    answers = [await child.request({"number": number, "text": "ü" * 70_000}, timeout_s=20) for number in (1, 2)]
    was_alive, resident = child.is_alive, child.resident_bytes()
    await child.stop()

    assert answers[0]["got"] == {"number": 1, "text": "ü" * 70_000}
    assert answers[0]["pid"] == answers[1]["pid"]
    assert was_alive and not child.is_alive
    assert MIB < resident < 200 * MIB
    assert usage_of(child.pid).processes == 0


async def test_dead_child_is_engine_crashed(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)

    with pytest.raises(EngineCrashed):
        await child.request({"die": True}, timeout_s=20)

    assert not child.is_alive


async def test_slow_child_times_out_and_is_killed(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    family = descendants_of(child.pid)

    with pytest.raises(EngineTimeout):
        await child.request({"sleep": 30}, timeout_s=0.5)

    assert not child.is_alive
    assert [pid for pid in family if is_running(pid)] == []


@pytest.mark.parametrize(("question", "words"), [({"eat": 300 * MIB}, "memory"), ({"spin": True}, "computing")])
async def test_limits_apply_to_each_request(
    box: Sandbox, tmp_path: Path, question: dict[str, object], words: str
) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    limits = Limits(cpu_s=1, memory_bytes=128 * MIB)

    with pytest.raises(LimitExceeded, match=words):
        await child.request(question, timeout_s=30, limits=limits)

    assert not child.is_alive


async def test_cancelled_request_kills_the_child(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    await child.request({}, timeout_s=20)
    asking = asyncio.create_task(child.request({"sleep": 30}, timeout_s=60))
    await until(lambda: "asleep" in child.stderr_tail)
    family = descendants_of(child.pid)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert [pid for pid in family if is_running(pid)] == []


async def test_auto_never_chooses_off() -> None:
    assert (await Sandbox.choose("auto")).name in ("bubblewrap", "seccomp")


async def test_unavailable_mode_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("converto_engines.runtime.sandbox.PROGRAM_PATH", str(tmp_path))

    for mode in ("auto", "bubblewrap"):
        with pytest.raises(EngineMissing, match=r"bubblewrap.*CONVERTO_SANDBOX"):
            await Sandbox.choose(mode)


async def test_off_is_used_on_request() -> None:
    assert (await Sandbox.choose("off")).name == "off"


def test_folder_bytes_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(1000))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "usr").symlink_to("/usr")

    assert 1000 <= folder_bytes(tmp_path) < 2000


async def test_only_named_devices_are_visible(run: Run) -> None:
    """A plain file in a hidden folder stands in for the device of a graphics card."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        device = Path(folder) / "card0"
        device.write_bytes(b"card")
        read = python(f"print(open({str(device)!r}).read())")

        bare = await run(*read)
        with_device = await run(*read, devices=[device])

    assert bare.exit_code != 0
    assert with_device.stdout == b"card\n"


async def test_missing_device_is_ignored(run: Run) -> None:
    result = await run(*python("print('runs')"), devices=[Path("/dev/no-such-card")])

    assert result.stdout == b"runs\n"
