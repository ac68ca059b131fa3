"""Private folders: mode, wiping, leftovers of a crash, and full disks."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conversion_worker.job.workspace import WorkFolderRefused, Workspace
from converto_core.conversion.record import Status
from tests.unit.conversion_worker.fakes import files_in
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import advance_until, until

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def opened(root: Path, worker_id: str, *, reserve_bytes: int = 0) -> Workspace:
    workspace = Workspace(root, worker_id, reserve_bytes=reserve_bytes)
    workspace.open()
    return workspace


def crash(workspace: Workspace) -> None:
    """Do what the kernel does when a process is killed: release its locks, leave its files."""
    assert workspace._lock is not None
    os.close(workspace._lock)


def test_open_workspace_is_private(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")

    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(workspace.folder.stat().st_mode) == 0o700


def test_clean_up_removes_folders_of_dead_workers_only(tmp_path: Path) -> None:
    """Behaviour M14: start-up removes what a crash left behind."""
    dead, alive = opened(tmp_path / "work", "here-1-dead"), opened(tmp_path / "work", "here-2-alive")
    for workspace in (dead, alive):
        (workspace.folder / "job").mkdir()
        (workspace.folder / "job" / "source.pdf").write_bytes(b"x")
    crash(dead)
    mine = opened(tmp_path / "work", "here-3-mine")
    removed = mine.clean_up()

    assert removed == ["here-1-dead"]
    assert files_in(alive.folder) == ["job/source.pdf"]
    assert sorted(path.name for path in mine.root.iterdir()) == [
        "here-2-alive",
        "here-2-alive.lock",
        "here-3-mine",
        "here-3-mine.lock",
    ]


@pytest.mark.parametrize(("mark", "is_ended"), [("1000", True), ("0", False)], ids=["own program", "other program"])
def test_clean_up_ends_programs_of_dead_workers(tmp_path: Path, mark: str, is_ended: bool) -> None:
    """Found by the chaos suite: a program outlived a worker that was killed right after it had started it.

    Only a process that the worker marked as its own (its OOM score) is ended.
    """
    dead = opened(tmp_path / "work", "here-1-dead")
    program = [sys.executable, "-c", ECHO, str(dead.folder / "job" / "x")]
    running = subprocess.Popen(
        ["choom", "-n", mark, "--", *program], start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert _answers(running)
        crash(dead)
        opened(tmp_path / "work", "here-2-mine").clean_up()

        assert _answers(running) is not is_ended
        assert not is_ended or running.wait(5) == -signal.SIGKILL
    finally:
        running.kill()
        running.communicate()


def _answers(running: "subprocess.Popen[bytes]") -> bool:
    """Return whether the program is alive: the signal of a clean-up ends it before it reads another line."""
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        running.stdin.write(b"ping\n")
        running.stdin.flush()
    except BrokenPipeError:
        return False
    return running.stdout.readline() == b"ping\n"


def test_clean_up_leaves_foreign_folders_alone(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    (workspace.root / "precious").mkdir()

    assert workspace.clean_up() == []
    assert (workspace.root / "precious").is_dir()


def test_close_leaves_nothing(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    (workspace.folder / "job").mkdir()
    workspace.close()

    assert list(workspace.root.iterdir()) == []


async def test_job_folder_is_wiped_after_an_error(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    with pytest.raises(ValueError, match="broken"):
        async with workspace.job_folder("job") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_bytes(b"x")
            raise ValueError("broken")

    assert list(workspace.folder.iterdir()) == []


def test_file_as_work_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"")

    with pytest.raises(WorkFolderRefused, match="CONVERTO_WORK_DIR"):
        opened(tmp_path / "work", "here-1-a")


def test_link_as_work_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(WorkFolderRefused):
        opened(tmp_path / "work", "here-1-a")


async def test_file_larger_than_the_free_disk_waits_for_another_attempt(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.workspace, "has_room", lambda needed_bytes=0: needed_bytes == 0)
    record = await harness.request()
    await harness.start_slot()
    waiting = await harness.wait_for(record, Status.PENDING)

    assert waiting.errors[0].code == "insufficient_storage"
    assert harness.converter.jobs == []


async def test_slot_takes_nothing_until_the_disk_has_room(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    room, asked = [False], list[int]()

    def has_room(needed_bytes: int = 0) -> bool:
        asked.append(needed_bytes)
        return room[0]

    monkeypatch.setattr(harness.workspace, "has_room", has_room)
    record = await harness.request()
    await harness.start_slot()
    await advance_until(harness.clock, lambda: len(asked) >= 3)
    untouched = await harness.get(record)
    room[0] = True
    await advance_until(harness.clock, lambda: bool(harness.converter.jobs))
    await until(lambda: not harness.running_jobs.running)

    assert untouched.status is Status.PENDING
    assert (await harness.get(record)).status is Status.COMPLETED
