"""The warm LibreOffice is replaced at its limits of documents and memory, after a crash and after a hang."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from converto_core.errors import EngineMissing, EngineTimeout
from converto_engines.converter import Limits, Product
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.process_tree import descendants_of
from tests.engines.conftest import until
from tests.engines.office.conftest import is_running
from tests.engines.office.samples import letter, page_texts

RunJob = Callable[..., Awaitable[list[Product]]]
Convert = Callable[..., Awaitable[Path]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A letter of one page."""
    return letter(tmp_path / "letter.docx", 1)


def slots_in(work_dir: Path) -> set[Path]:
    return set(work_dir.glob("*/slot-*"))


def soffice_pids(office: WarmOffice) -> list[int]:
    tree = descendants_of(office.pid) if office.pid else []
    return [pid for pid in tree if name_of(pid) == "soffice.bin"]


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


async def test_progress_reports_stages_cold_and_warm(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path
) -> None:
    office, stages, slots_before = WarmOffice(sandbox, work_dir=work_dir), list[str](), slots_in(work_dir)
    converter = LibreOffice(office)

    for _ in range(2):
        await run_job(converter, source, "docx", "pdf", report=lambda percent, stage: stages.append(stage))
    await converter.aclose()

    assert stages == ["starting LibreOffice", "opening", "exporting", "opening", "exporting"]
    assert slots_in(work_dir) == slots_before


async def test_soffice_killed_while_idle_is_replaced(convert: Convert, warm: WarmOffice, source: Path) -> None:
    await convert(source)
    (victim,) = soffice_pids(warm)

    os.kill(victim, signal.SIGKILL)
    await until(lambda: not is_running(victim))

    assert page_texts(await convert(source)) == ["Page 1"]


def killer_of(victim: int) -> Callable[[float | None, str], None]:
    """A `report` that kills a process at the first export."""

    def kill_when_exporting(percent: float | None, stage: str) -> None:
        if stage == "exporting" and is_running(victim):
            os.kill(victim, signal.SIGKILL)

    return kill_when_exporting


async def test_crash_of_the_warm_one_leads_to_a_single_run(convert: Convert, warm: WarmOffice, tmp_path: Path) -> None:
    source = letter(tmp_path / "letter.docx", 3)
    await convert(source)
    (victim,) = soffice_pids(warm)

    pdf = await convert(source, report=killer_of(victim), pages="2-3", quality=80, pdf_a=True)

    assert page_texts(pdf) == ["Page 2", "Page 3"]
    assert b"pdfaid:part" in pdf.read_bytes()
    assert not is_running(victim)


async def test_crash_with_changes_to_settle_is_tried_again(convert: Convert, warm: WarmOffice, source: Path) -> None:
    await convert(source)
    (victim,) = soffice_pids(warm)

    assert page_texts(await convert(source, report=killer_of(victim), changes="accepted")) == ["Page 1"]


@pytest.mark.corpus
async def test_document_that_crashes_the_warm_one_converts(convert: Convert, found: Path) -> None:
    pages = page_texts(await convert(found / "poi__WordWithAttachments.docx"))

    assert "Русский" in "".join(pages)


async def test_killed_driver_is_replaced(convert: Convert, warm: WarmOffice, source: Path) -> None:
    await convert(source)

    os.killpg(warm.pid or 0, signal.SIGKILL)
    await until(lambda: warm.pid is None)

    assert page_texts(await convert(source)) == ["Page 1"]


async def convert_in_turn(office: WarmOffice, run_job: RunJob, source: Path, times: int) -> list[int | None]:
    """Convert a one-page letter several times; returns the process group after each conversion."""
    converter, pids = LibreOffice(office), list[int | None]()
    for _ in range(times):
        (product,) = await run_job(converter, source, "docx", "pdf")
        assert page_texts(product.path) == ["Page 1"]
        pids.append(office.pid)
    await converter.aclose()
    return pids


async def test_restart_after_the_document_limit(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path
) -> None:
    office = WarmOffice(sandbox, work_dir=work_dir, restart_documents=2)

    pids = await convert_in_turn(office, run_job, source, 3)

    assert pids[0] is not None and pids[1] is None
    assert pids[2] is not None and pids[2] != pids[0]


async def test_restart_above_the_memory_limit(sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path) -> None:
    office = WarmOffice(sandbox, work_dir=work_dir, restart_bytes=1024**2)

    assert (await convert_in_turn(office, run_job, source, 2))[0] is None


async def test_no_restart_below_the_limits(sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path) -> None:
    pids = await convert_in_turn(WarmOffice(sandbox, work_dir=work_dir), run_job, source, 5)

    assert len(set(pids)) == 1 and None not in pids


async def test_cancellation_at_work_leaves_nothing(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path, tmp_path: Path
) -> None:
    office, is_exporting = WarmOffice(sandbox, work_dir=work_dir), asyncio.Event()
    converter = LibreOffice(office)
    long = letter(tmp_path / "long.docx", 400)
    await run_job(converter, source, "docx", "pdf")
    tree = descendants_of(office.pid or 0)
    working = asyncio.create_task(
        run_job(converter, long, "docx", "pdf", report=lambda _, stage: stage == "exporting" and is_exporting.set())
    )
    async with asyncio.timeout(60):
        await is_exporting.wait()

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert len(tree) > 1 and not [pid for pid in tree if is_running(pid)]
    assert list(work_dir.glob("*/slot-*/job-*")) == []
    await converter.aclose()


async def test_slot_folder_of_a_killed_owner_is_removed(
    sandbox: Sandbox, run_job: RunJob, work_dir: Path, source: Path
) -> None:
    first, second, before = (
        LibreOffice(WarmOffice(sandbox, work_dir=work_dir)),
        LibreOffice(WarmOffice(sandbox, work_dir=work_dir)),
        slots_in(work_dir),
    )
    await run_job(first, source, "docx", "pdf")
    (living,) = slots_in(work_dir) - before
    abandoned = living.parent / "slot-abandoned"
    abandoned.mkdir()
    (abandoned / "owner").touch()

    await run_job(second, source, "docx", "pdf")

    assert living.exists() and not abandoned.exists()
    await asyncio.gather(first.aclose(), second.aclose())


async def test_seccomp_converts_and_leaves_nothing_in_tmp(run_job: RunJob, work_dir: Path, tmp_path: Path) -> None:
    try:
        confined, slots_before = await Sandbox.choose("seccomp"), slots_in(work_dir)
    except EngineMissing as error:
        pytest.skip(str(error))
    converter = LibreOffice(WarmOffice(confined, work_dir=work_dir))

    (product,) = await run_job(converter, letter(tmp_path / "letter.docx", 2), "docx", "pdf")
    (slot,) = slots_in(work_dir) - slots_before
    sockets_at_work = list(Path("/tmp").glob(f"OSL_PIPE_*{slot.name}"))
    await converter.aclose()

    assert page_texts(product.path) == ["Page 1", "Page 2"]
    assert len(sockets_at_work) == 1 and not sockets_at_work[0].exists()


async def test_hanging_soffice_times_out_and_is_replaced(convert: Convert, warm: WarmOffice, source: Path) -> None:
    await convert(source)
    (victim,) = soffice_pids(warm)

    def freeze_when_exporting(percent: float | None, stage: str) -> None:
        if stage == "exporting":
            os.kill(victim, signal.SIGSTOP)

    with pytest.raises(EngineTimeout, match="2 s allowed"):
        await convert(source, report=freeze_when_exporting, limits=Limits(wall_s=2))

    assert not is_running(victim)
    assert page_texts(await convert(source)) == ["Page 1"]
