"""The steps of one job: progress, limits, folders and outputs."""

import asyncio
import io
import zipfile
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from conversion_worker.job.plan import spans
from converto_core.conversion.processing import claim
from converto_core.conversion.record import Status, Step
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case
from tests.unit.conversion_worker.harness import Harness
from tests.unit.fake_clock import advance_until, until


async def run(
    harness: Harness,
    folder: Path,
    *converters: FakeConverter,
    plan: tuple[Step, ...],
    family: Family = Family.OFFICE,
    is_away: bool = False,
) -> list[tuple[float, str]]:
    """Run a job without a slot; return its progress reports."""
    record = await harness.request(plan=plan, family=family)
    harness.objects.is_away = is_away
    claimed = await harness.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=0))
    assert claimed is not None
    assert claimed.status is Status.PROCESSING
    reported: list[tuple[float, str]] = []
    runner = await harness.runner(converters)
    await runner.run(claimed, folder, lambda percent, stage: reported.append((percent or 0.0, stage)))
    return reported


async def test_progress_is_divided_by_seconds_and_never_decreases(harness: Harness, tmp_path: Path) -> None:
    async def half_and_half(job: Job) -> list[Product]:
        job.report(50.0, f"halfway to {job.target_format}")
        return await make_upper_case(job)

    slow = FakeConverter(half_and_half, seconds=3)
    quick = FakeConverter(half_and_half, name="quick", source="pdf", target="png", seconds=1)
    plan = (Step("fake", "txt", "pdf"), Step("quick", "pdf", "png"))
    reported = await run(harness, tmp_path, slow, quick, plan=plan)
    percents = [percent for percent, _ in reported if percent]

    assert percents == sorted(percents)
    assert percents[-1] < 100
    assert (40.0, "halfway to pdf") in reported
    assert (80.0, "halfway to png") in reported
    assert reported[0] == (0.0, "downloading")
    assert reported[-1][1] == "uploading the result"


async def test_wait_for_a_server_is_logged_with_its_reason(harness: Harness, tmp_path: Path) -> None:
    """One object that cannot be read keeps a slot waiting: the log says which conversion waits, and for what."""
    with capture_logs() as logs:
        running = asyncio.create_task(
            run(harness, tmp_path, FakeConverter(make_upper_case), plan=(Step("fake", "txt", "pdf"),), is_away=True)
        )
        await until(lambda: any(entry["event"] == "job.dependency_away" for entry in logs))
        harness.objects.is_away = False
        await advance_until(harness.clock, running.done)

    await running
    waited = next(entry for entry in logs if entry["event"] == "job.dependency_away")
    (record,) = await harness.stores.conversions.find(ConversionFilter())
    assert waited["conversion_id"] == record.id
    assert waited["reason"] == "the in-memory twin is set to be unavailable"


async def test_wall_clock_limit_is_shared_by_all_steps(harness: Harness, tmp_path: Path) -> None:
    async def slow_one(job: Job) -> list[Product]:
        harness.clock.advance(600)
        return await make_upper_case(job)

    first = FakeConverter(slow_one)
    second = FakeConverter(make_upper_case, name="second", source="pdf", target="png")
    await run(harness, tmp_path, first, second, plan=(Step("fake", "txt", "pdf"), Step("second", "pdf", "png")))

    assert first.jobs[0].limits.wall_s == harness.settings.conversion_timeout_s
    assert second.jobs[0].limits.wall_s == harness.settings.conversion_timeout_s - 600


async def test_repeated_note_is_stored_once(harness: Harness) -> None:
    """Nothing is dropped silently."""

    async def forgetful(job: Job) -> list[Product]:
        job.note("A track was left out")
        job.note("A track was left out")
        return await make_upper_case(job)

    harness.converter.behaviour = forgetful
    record = await harness.request()
    await harness.start_slot()
    done = await harness.wait_for(record, Status.COMPLETED)

    assert done.notes == ("A track was left out",)


@pytest.mark.parametrize("family", [Family.VIDEO, Family.AUDIO])
async def test_media_gets_the_media_limits(harness: Harness, tmp_path: Path, family: Family) -> None:
    converter = FakeConverter(make_upper_case)
    await run(harness, tmp_path, converter, plan=(Step("fake", "txt", "pdf"),), family=family)

    assert converter.jobs[0].limits.wall_s == harness.settings.media_timeout_s
    assert converter.jobs[0].limits.cpu_s == harness.settings.media_cpu_s


async def test_zip_bomb_fails_before_any_converter_runs(harness: Harness) -> None:
    """I13: a bomb costs its own limits only."""
    harness.settings = harness.settings.model_copy(update={"max_archive_entries": 100})
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for number in range(harness.settings.max_archive_entries):
            archive.writestr(f"word/{number}", "")
    plan = (Step("fake", "docx", "pdf"),)
    record = await harness.request(body.getvalue(), plan=plan, source_format="docx", filename="bomb.docx")
    await harness.start_slot()
    done = await harness.wait_for(record, Status.FAILED)

    assert done.error_code == "source_too_large"
    assert harness.converter.jobs == []


async def test_page_names_sort_in_page_order(harness: Harness) -> None:
    async def twelve(job: Job) -> list[Product]:
        pages = [Product(path=job.folder / f"p{number}", page=number) for number in range(1, 13)]
        for page in pages:
            page.path.write_bytes(b"x" * (page.page or 0))
        return pages

    harness.converter.behaviour = twelve
    record = await harness.request()
    await harness.start_slot()
    done = await harness.wait_for(record, Status.COMPLETED)

    assert [output.size_bytes for output in done.outputs] == list(range(1, 13))
    assert [output.filename for output in done.outputs][:2] == ["notes-01.pdf", "notes-02.pdf"]
    assert [output.key for output in done.outputs] == sorted(output.key for output in done.outputs)


async def test_program_without_output_is_an_invalid_output(harness: Harness) -> None:
    """Promise 5: `completed` means that an output exists."""

    async def nothing(job: Job) -> list[Product]:
        return []

    harness.converter.behaviour = nothing
    record = await harness.request()
    await harness.start_slot()

    assert (await harness.wait_for(record, Status.PENDING)).errors[0].code == "output_invalid"


async def test_hostile_filename_appears_in_no_path(harness: Harness) -> None:
    record = await harness.request(filename="../../$(id);-rf\n.txt")
    await harness.start_slot()
    done = await harness.wait_for(record, Status.COMPLETED)
    seen = harness.converter.jobs[0]

    assert seen.source.name == "source.txt"
    assert "rf" not in str(seen.folder)
    assert "rf" not in done.outputs[0].key


def test_spans_divide_progress_by_weight_without_gaps() -> None:
    first, second = spans([3.0, 1.0], start=10, end=90)

    assert (first.start, first.end, second.start, second.end) == (10, 70, 70, 90)
    assert first.at(50) == 40
    assert second.at(None) is None
    assert second.at(250) == 90
