"""The sandbox: every limit, the deadline and every wall, in both ways of confining a program."""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from converto_core.errors import EngineCrashed, EngineMissing, EngineTimeout, LimitExceeded
from converto_engines.converter import Limits
from converto_engines.runtime.process import ProcessResult, Sandbox
from converto_engines.runtime.process_tree import descendants_of, folder_bytes, usage_of

MIB = 1024**2
GENEROUS = Limits(wall_s=30, cpu_s=30, memory_bytes=1024 * MIB, file_bytes=64 * MIB)
OWN_PYTHON = (Path(sys.prefix), Path(sys.base_prefix))

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


@pytest.fixture
def canary() -> Iterator[tuple[int, list[str]]]:
    """A listener on the loopback address and the list of those who came."""
    visitors: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, address = server.accept()
                    visitors.append(str(address))
                    connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def python(program: str) -> list[str]:
    return ["python3", "-I", "-c", program]


async def until(condition: Callable[[], bool], deadline_s: float = 10) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- what another process does sets no event here
            await asyncio.sleep(0.01)


def running_with(mark: str) -> list[str]:
    """Command lines of all living processes that have `mark` among their arguments; a zombie has none."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            lines.append((process / "cmdline").read_text().replace("\0", " "))
    return [line for line in lines if mark in line.split()]


def is_running(pid: int) -> bool:
    """False also for a zombie that only waits for init to look at it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


async def test_run_when_program_ends_then_status_output_and_time_come_back(run: Run) -> None:
    finished = await run("sh", "-c", "echo out; echo oops >&2; exit 3")

    assert (finished.exit_code, finished.stdout, finished.stderr_tail) == (3, b"out\n", "oops\n")
    assert 0 < finished.wall_s < 30


async def test_run_when_lines_are_wanted_then_each_is_told_while_it_runs(run: Run) -> None:
    lines: list[str] = []

    await run("sh", "-c", "printf 'one\\r\\ntwo\\nthree'", on_line=lines.append)

    assert lines == ["one", "two", "three"]


async def test_run_when_listener_of_lines_raises_then_its_error_comes_out_and_program_ends(run: Run) -> None:
    def refuse(line: str) -> None:
        raise LimitExceeded(f"enough of {line}")

    with pytest.raises(LimitExceeded, match="enough of tick"):
        await run("sh", "-c", "echo tick; sleep 30", on_line=refuse)


async def test_run_when_program_is_missing_then_engine_missing_names_it(run: Run) -> None:
    with pytest.raises(EngineMissing, match="no-such-program"):
        await run("no-such-program")


async def test_run_when_program_dies_by_signal_then_engine_crashed(run: Run) -> None:
    with pytest.raises(EngineCrashed):
        await run("sh", "-c", "kill -SEGV $$")


async def test_run_when_sandbox_itself_fails_then_the_file_is_not_blamed(box: Sandbox, tmp_path: Path) -> None:
    argv = ["true"] if box.name == "bubblewrap" else [str(tmp_path / "not-executable")]
    readable = [tmp_path / "no-such-folder"] if box.name == "bubblewrap" else []
    (tmp_path / "not-executable").write_text("#!/no/such/interpreter\n")
    (tmp_path / "not-executable").chmod(0o755)

    with pytest.raises(EngineMissing, match="sandbox"):
        await box.run(argv, folder=tmp_path, limits=GENEROUS, readable=readable)


async def test_run_when_deadline_passes_then_grandchildren_in_new_sessions_die_too(run: Run, tmp_path: Path) -> None:
    mark = f"4{os.getpid()}"
    program = f"setsid sleep {mark} & setsid -f sleep {mark} & sleep {mark} & sleep {mark}"

    with pytest.raises(EngineTimeout, match="1 s"):
        await run("sh", "-c", program, limits=Limits(wall_s=1))

    assert running_with(mark) == []


async def test_run_when_cancelled_then_nothing_is_left(run: Run, tmp_path: Path) -> None:
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


async def test_run_when_program_leaves_a_background_child_then_the_answer_comes_at_once(run: Run) -> None:
    mark = f"6{os.getpid()}"

    finished = await run("sh", "-c", f"sleep {mark} & exit 0", limits=Limits(wall_s=20))

    assert finished.wall_s < 10
    assert running_with(mark) == []


async def test_run_when_memory_limit_is_passed_then_limit_exceeded(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="64 MB of memory"):
        await run(
            *python("import time; b = bytearray(200 << 20); time.sleep(20)"),
            limits=Limits(wall_s=20, memory_bytes=64 * MIB),
        )


async def test_run_when_cpu_limit_is_passed_then_limit_exceeded(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="1 s of computing time"):
        await run("sh", "-c", "while :; do :; done", limits=Limits(wall_s=30, cpu_s=1))


async def test_run_when_children_share_the_cpu_then_their_sum_counts(run: Run) -> None:
    spin = "while :; do :; done"

    with pytest.raises(LimitExceeded, match="2 s of computing time"):
        await run("sh", "-c", f"({spin}) & ({spin}) & ({spin}) & wait", limits=Limits(wall_s=60, cpu_s=2))


async def test_run_when_one_file_is_too_large_then_limit_exceeded(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="larger than 2 MB"):
        await run("sh", "-c", "exec head -c 9000000 /dev/zero > big", limits=Limits(wall_s=20, file_bytes=2 * MIB))


async def test_run_when_many_files_are_too_large_together_then_limit_exceeded(run: Run) -> None:
    program = "for i in 1 2 3 4 5 6; do head -c 1000000 /dev/zero > x$i; done; exec sleep 20"

    with pytest.raises(LimitExceeded, match="wrote more than 2 MB"):
        await run("sh", "-c", program, limits=Limits(wall_s=20, file_bytes=2 * MIB))


async def test_run_when_source_is_larger_than_the_limit_then_only_what_is_written_counts(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "job" / "source").write_bytes(bytes(3 * MIB))

    finished = await run("sleep", "1.6", limits=Limits(wall_s=20, file_bytes=2 * MIB))

    assert finished.exit_code == 0


async def test_run_when_program_floods_its_output_then_the_tail_is_kept(run: Run) -> None:
    finished = await run(
        *python("import sys\nfor i in range(300000): print(i)\nsys.stderr.write('x' * 300000 + 'end')")
    )

    assert len(finished.stdout) == len(finished.stderr_tail) == 64 * 1024
    assert finished.stdout.endswith(b"299999\n") and finished.stderr_tail.endswith("xend")


async def test_run_when_program_starts_too_many_processes_then_limit_exceeded(run: Run) -> None:
    with pytest.raises(LimitExceeded, match="too many processes"):
        await run("sh", "-c", "i=0; while [ $i -lt 600 ]; do sleep 20 & i=$((i+1)); done; wait")


async def test_environment_when_program_looks_then_nothing_of_ours_is_there(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERTO_S3_SECRET_ACCESS_KEY", "canary-value")

    finished = await run("env", environment={"OMP_NUM_THREADS": "1"})

    names = {line.partition("=")[0] for line in finished.stdout.decode().splitlines()}
    assert names - {"PWD"} == {"PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS"}


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
async def test_network_when_program_makes_a_socket_then_it_is_refused(run: Run, family: str) -> None:
    finished = await run(*python(f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW)"))

    assert finished.exit_code == 1
    assert "PermissionError" in finished.stderr_tail


async def test_network_when_program_calls_the_canary_then_nobody_comes(
    run: Run, canary: tuple[int, list[str]], tmp_path: Path
) -> None:
    port, visitors = canary
    call = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()"

    confined = await run(*python(call))
    bare = await Sandbox("off").run(python(call), folder=tmp_path, limits=GENEROUS)
    await until(lambda: len(visitors) > 0)

    assert confined.exit_code == 1 and bare.exit_code == 0
    assert len(visitors) == 1  # the bare one: the canary works


async def test_files_when_program_reads_another_folder_then_it_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other-job"
    other.mkdir()
    (other / "source").write_text("secret of another job")

    finished = await run("sh", "-c", f"cat {other}/source; ls {other}; cat /etc/passwd; cat /etc/shadow")

    assert finished.stdout == b""


async def test_files_when_program_writes_outside_then_it_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other-job").mkdir()
    targets = [f"{tmp_path}/other-job/x", "/usr/x-canary", "/etc/x-canary", "/var/tmp/x-canary", "/x-canary"]

    finished = await run("sh", "-c", "; ".join(f"(echo x > {target}) 2>/dev/null && echo wrote" for target in targets))

    # Inside bubblewrap the empty root is the program's own and may be written to: what counts is what is here.
    assert finished.stdout.count(b"wrote") <= 2
    assert not any(Path(target).exists() for target in targets)


async def test_files_when_job_folder_is_used_then_names_inside_fit(box: Sandbox, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    (folder / "in").write_text("content")

    finished = await run("cp", box.path_inside(folder, folder / "in"), box.path_inside(folder, folder / "out"))

    assert finished.exit_code == 0
    assert (folder / "out").read_text() == "content"
    with pytest.raises(ValueError, match="subpath"):
        box.path_inside(folder, tmp_path / "elsewhere")


async def test_temporary_folder_when_run_ends_then_it_is_gone(run: Run, tmp_path: Path) -> None:
    finished = await run("sh", "-c", 'echo x > "$TMPDIR/left" && cat "$TMPDIR/left"')

    assert finished.stdout == b"x\n"
    assert list((tmp_path / "job").iterdir()) == []


async def test_readable_when_a_folder_is_named_then_it_can_be_read_and_not_written(run: Run, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "book").write_text("open book")

    finished = await run("sh", "-c", f"cat {shelf}/book; echo x > {shelf}/new", readable=[shelf])

    assert finished.stdout == b"open book"
    assert not (shelf / "new").exists()


@pytest.mark.parametrize(
    ("call", "number"),
    [("ptrace", 101), ("unshare", 272), ("mount", 165), ("bpf", 321), ("setns", 308), ("keyctl", 250)],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
async def test_calls_when_dangerous_then_refused(run: Run, call: str, number: int) -> None:
    program = f"import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.syscall({number}, 0, 0, 0, 0); "

    finished = await run(*python(program + "print(os.strerror(ctypes.get_errno()))"))

    assert finished.stdout == b"Operation not permitted\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is a way of x86_64")
async def test_calls_when_asked_by_their_x32_number_then_not_there(run: Run) -> None:
    program = "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.syscall(0x40000000 + 41, 2, 1, 0); "

    finished = await run(*python(program + "print(os.strerror(ctypes.get_errno()))"))

    assert finished.stdout == b"Function not implemented\n"


async def test_rights_when_program_looks_then_it_has_none(run: Run) -> None:
    finished = await run("cat", "/proc/self/status", "/proc/self/oom_score_adj")

    told = dict(line.split(":\t", 1) for line in finished.stdout.decode().splitlines() if ":\t" in line)
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == int(told["CapBnd"], 16) == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert finished.stdout.decode().splitlines()[-1] == "1000"


async def test_worker_secrets_when_program_reads_our_environment_then_it_is_refused(run: Run) -> None:
    finished = await run("sh", "-c", f"cat /proc/{os.getpid()}/environ; kill -0 {os.getpid()}")

    assert finished.stdout == b""
    assert finished.exit_code != 0


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


async def test_child_when_asked_twice_then_the_same_process_answers(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)

    answers = [await child.request({"number": number, "text": "ü" * 70_000}, timeout_s=20) for number in (1, 2)]
    was_alive, resident = child.is_alive, child.resident_bytes()
    await child.stop()

    assert answers[0]["got"] == {"number": 1, "text": "ü" * 70_000}
    assert answers[0]["pid"] == answers[1]["pid"]
    assert was_alive and not child.is_alive
    assert MIB < resident < 200 * MIB
    assert usage_of(child.pid).processes == 0


async def test_child_when_it_dies_then_engine_crashed(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)

    with pytest.raises(EngineCrashed):
        await child.request({"die": True}, timeout_s=20)

    assert not child.is_alive


async def test_child_when_it_is_too_slow_then_engine_timeout_and_it_is_gone(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    family = descendants_of(child.pid)

    with pytest.raises(EngineTimeout):
        await child.request({"sleep": 30}, timeout_s=0.5)

    assert not child.is_alive
    assert [pid for pid in family if is_running(pid)] == []


@pytest.mark.parametrize(("question", "words"), [({"eat": 300 * MIB}, "memory"), ({"spin": True}, "computing")])
async def test_child_when_a_question_costs_too_much_then_limit_exceeded(
    box: Sandbox, tmp_path: Path, question: dict[str, object], words: str
) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    limits = Limits(cpu_s=1, memory_bytes=128 * MIB)

    with pytest.raises(LimitExceeded, match=words):
        await child.request(question, timeout_s=30, limits=limits)

    assert not child.is_alive


async def test_child_when_asker_is_cancelled_then_child_is_gone(box: Sandbox, tmp_path: Path) -> None:
    child = await box.start(python(ECHO), folder=tmp_path, limits=GENEROUS)
    await child.request({}, timeout_s=20)
    asking = asyncio.create_task(child.request({"sleep": 30}, timeout_s=60))
    await until(lambda: "asleep" in child.stderr_tail)
    family = descendants_of(child.pid)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert [pid for pid in family if is_running(pid)] == []


async def test_choose_when_auto_then_a_real_sandbox_and_never_off() -> None:
    assert (await Sandbox.choose("auto")).name in ("bubblewrap", "seccomp")


async def test_choose_when_mode_does_not_work_then_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("converto_engines.runtime.sandbox.PROGRAM_PATH", str(tmp_path))

    for mode in ("auto", "bubblewrap"):
        with pytest.raises(EngineMissing, match=r"bubblewrap.*CONVERTO_SANDBOX"):
            await Sandbox.choose(mode)


async def test_choose_when_off_is_asked_for_then_off() -> None:
    assert (await Sandbox.choose("off")).name == "off"


def test_folder_bytes_when_links_point_outside_then_they_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(1000))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "usr").symlink_to("/usr")

    assert 1000 <= folder_bytes(tmp_path) < 2000


async def test_device_when_named_then_seen_and_without_it_not(run: Run) -> None:
    """A plain file in a folder that programs do not see stands in for the device of a graphics card."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        device = Path(folder) / "card0"
        device.write_bytes(b"card")
        read = python(f"print(open({str(device)!r}).read())")

        bare = await run(*read)
        with_device = await run(*read, devices=[device])

    assert bare.exit_code != 0
    assert with_device.stdout == b"card\n"


async def test_device_when_it_is_not_there_then_passed_over(run: Run) -> None:
    finished = await run(*python("print('runs')"), devices=[Path("/dev/no-such-card")])

    assert finished.stdout == b"runs\n"
