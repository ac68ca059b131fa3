"""Private folders: mode, wiping, what a crash left, and disks that are full."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conversion_worker.job.workspace import WorkFolderRefused, Workspace
from converto_core.conversion.record import Status
from tests.unit.conversion_worker.conftest import House
from tests.unit.conversion_worker.fakes import files_in
from tests.unit.fake_clock import advance_until, until


def opened(root: Path, worker_id: str, *, reserve_bytes: int = 0) -> Workspace:
    workspace = Workspace(root, worker_id, reserve_bytes=reserve_bytes)
    workspace.open()
    return workspace


def crash(workspace: Workspace) -> None:
    """What the kernel does for a process that was killed: its locks are gone, its files stay."""
    assert workspace._lock is not None
    os.close(workspace._lock)


def test_workspace_when_opened_then_only_its_user_may_look_into_it(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")

    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(workspace.folder.stat().st_mode) == 0o700


def test_clean_up_when_a_worker_crashed_then_its_folder_goes_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    """Behaviour M14: start-up cleans what a crash left."""
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


@pytest.mark.parametrize(("mark", "is_ended"), [("1000", True), ("0", False)], ids=["ours", "somebody's"])
def test_clean_up_when_a_program_of_a_dead_worker_still_runs_then_it_is_ended(
    tmp_path: Path, mark: str, is_ended: bool
) -> None:
    """Found by the chaos suite: a worker killed right after it had started a program left that running for ever."""
    dead = opened(tmp_path / "work", "here-1-dead")
    program = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)", str(dead.folder / "job" / "x")]
    running = subprocess.Popen(["choom", "-n", mark, "--", *program], start_new_session=True, stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        running.stdout.readline()  # it runs
        crash(dead)
        opened(tmp_path / "work", "here-2-mine").clean_up()

        assert _ends_soon(running) is is_ended
    finally:
        running.kill()
        running.communicate()


def _ends_soon(running: "subprocess.Popen[bytes]") -> bool:
    try:
        return running.wait(0.5) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def test_clean_up_when_a_folder_is_not_a_workers_then_it_is_left_alone(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    (workspace.root / "precious").mkdir()

    assert workspace.clean_up() == []
    assert (workspace.root / "precious").is_dir()


def test_workspace_when_closed_then_nothing_is_left(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    (workspace.folder / "job").mkdir()
    workspace.close()

    assert list(workspace.root.iterdir()) == []


async def test_job_folder_when_the_job_breaks_then_it_is_wiped(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work", "here-1-a")
    with pytest.raises(ValueError, match="broken"):
        async with workspace.job_folder("job") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_bytes(b"x")
            raise ValueError("broken")

    assert list(workspace.folder.iterdir()) == []


def test_workspace_when_the_place_is_a_file_then_the_message_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"")

    with pytest.raises(WorkFolderRefused, match="CONVERTO_WORK_DIR"):
        opened(tmp_path / "work", "here-1-a")


def test_workspace_when_the_place_is_a_link_then_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(WorkFolderRefused):
        opened(tmp_path / "work", "here-1-a")


async def test_slot_when_the_disk_is_too_full_for_the_file_then_it_is_tried_again_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.workspace, "has_room", lambda needed_bytes=0: needed_bytes == 0)
    record = await house.request()
    await house.open_slot()
    waiting = await house.reach(record, Status.PENDING)

    assert waiting.errors[0].code == "insufficient_storage"
    assert house.converter.jobs == []


async def test_slot_when_the_reserve_is_used_up_then_it_takes_nothing_until_there_is_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, asked = [False], list[int]()

    def has_room(needed_bytes: int = 0) -> bool:
        asked.append(needed_bytes)
        return room[0]

    monkeypatch.setattr(house.workspace, "has_room", has_room)
    record = await house.request()
    await house.open_slot()
    await advance_until(house.clock, lambda: len(asked) >= 3)
    untouched = await house.look(record)
    room[0] = True
    await advance_until(house.clock, lambda: bool(house.converter.jobs))
    await until(lambda: not house.board.running)

    assert untouched.status is Status.PENDING
    assert (await house.look(record)).status is Status.COMPLETED
