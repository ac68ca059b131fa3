"""The steps of one job seen from inside: progress, limits, folders and outputs."""

import io
import zipfile
from pathlib import Path

import pytest

from converto_core.conversion.processing import claim
from converto_core.conversion.record import Status, Step
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.conftest import House
from tests.unit.conversion_worker.fakes import FakeConverter, make_upper_case


async def run(
    house: House, folder: Path, *converters: FakeConverter, plan: tuple[Step, ...], family: Family = Family.OFFICE
) -> list[tuple[float, str]]:
    """Run a job outside of a slot; what it reported."""
    record = await house.request(plan=plan, family=family)
    claimed = await house.stores.conversions.apply(claim(record.id, token=0, worker="w", now_ms=0))
    assert claimed is not None
    assert claimed.status is Status.PROCESSING
    reported: list[tuple[float, str]] = []
    runner = await house.runner(converters)
    await runner.run(claimed, folder, lambda percent, stage: reported.append((percent or 0.0, stage)))
    return reported


async def test_job_when_it_runs_then_progress_shares_the_way_by_seconds_and_never_goes_back(
    house: House, tmp_path: Path
) -> None:
    async def half_and_half(job: Job) -> list[Product]:
        job.report(50.0, f"halfway to {job.target_format}")
        return await make_upper_case(job)

    slow = FakeConverter(half_and_half, seconds=3)
    quick = FakeConverter(half_and_half, name="quick", source="pdf", target="png", seconds=1)
    plan = (Step("fake", "txt", "pdf"), Step("quick", "pdf", "png"))
    reported = await run(house, tmp_path, slow, quick, plan=plan)
    told = [percent for percent, _ in reported if percent]

    assert told == sorted(told)
    assert told[-1] < 100
    assert (40.0, "halfway to pdf") in reported
    assert (80.0, "halfway to png") in reported
    assert reported[0] == (0.0, "downloading")
    assert reported[-1][1] == "uploading the result"


async def test_job_when_a_step_took_long_then_the_next_one_has_only_what_is_left(house: House, tmp_path: Path) -> None:
    async def slow_one(job: Job) -> list[Product]:
        house.clock.advance(600)
        return await make_upper_case(job)

    first = FakeConverter(slow_one)
    second = FakeConverter(make_upper_case, name="second", source="pdf", target="png")
    await run(house, tmp_path, first, second, plan=(Step("fake", "txt", "pdf"), Step("second", "pdf", "png")))

    assert first.jobs[0].limits.wall_s == house.settings.conversion_timeout_s
    assert second.jobs[0].limits.wall_s == house.settings.conversion_timeout_s - 600


async def test_job_when_a_converter_notes_what_is_missing_then_the_record_tells_it_once(house: House) -> None:
    """Nothing is dropped silently."""

    async def forgetful(job: Job) -> list[Product]:
        job.note("A track was left out")
        job.note("A track was left out")
        return await make_upper_case(job)

    house.converter.behaviour = forgetful
    record = await house.request()
    await house.open_slot()
    done = await house.reach(record, Status.COMPLETED)

    assert done.notes == ("A track was left out",)


@pytest.mark.parametrize("family", [Family.VIDEO, Family.AUDIO])
async def test_job_when_it_is_of_video_or_sound_then_it_may_take_as_long_as_a_film(
    house: House, tmp_path: Path, family: Family
) -> None:
    converter = FakeConverter(make_upper_case)
    await run(house, tmp_path, converter, plan=(Step("fake", "txt", "pdf"),), family=family)

    assert converter.jobs[0].limits.wall_s == house.settings.media_timeout_s
    assert converter.jobs[0].limits.cpu_s == house.settings.media_cpu_s


async def test_job_when_the_source_unpacks_to_too_much_then_failed_and_no_converter_saw_it(house: House) -> None:
    """I13: a bomb costs its own limits only."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for number in range(house.settings.max_archive_entries):
            archive.writestr(f"word/{number}", "")
    plan = (Step("fake", "docx", "pdf"),)
    record = await house.request(body.getvalue(), plan=plan, source_format="docx", filename="bomb.docx")
    await house.open_slot()
    done = await house.reach(record, Status.FAILED)

    assert done.error_code == "source_too_large"
    assert house.converter.jobs == []


async def test_job_when_there_are_many_pages_then_names_sort_and_outputs_are_in_order(house: House) -> None:
    async def twelve(job: Job) -> list[Product]:
        pages = [Product(path=job.folder / f"p{number}", page=number) for number in range(1, 13)]
        for page in pages:
            page.path.write_bytes(b"x" * (page.page or 0))
        return pages

    house.converter.behaviour = twelve
    record = await house.request()
    await house.open_slot()
    done = await house.reach(record, Status.COMPLETED)

    assert [output.size_bytes for output in done.outputs] == list(range(1, 13))
    assert [output.filename for output in done.outputs][:2] == ["notes-01.pdf", "notes-02.pdf"]
    assert [output.key for output in done.outputs] == sorted(output.key for output in done.outputs)


async def test_job_when_a_program_makes_nothing_then_the_output_is_invalid(house: House) -> None:
    """Promise 5: `completed` means that there is something."""

    async def nothing(job: Job) -> list[Product]:
        return []

    house.converter.behaviour = nothing
    record = await house.request()
    await house.open_slot()

    assert (await house.reach(record, Status.PENDING)).errors[0].code == "output_invalid"


async def test_job_when_the_filename_is_hostile_then_no_path_contains_it(house: House) -> None:
    record = await house.request(filename="../../$(id);-rf\n.txt")
    await house.open_slot()
    done = await house.reach(record, Status.COMPLETED)
    seen = house.converter.jobs[0]

    assert seen.source.name == "source.txt"
    assert "rf" not in str(seen.folder)
    assert "rf" not in done.outputs[0].key
