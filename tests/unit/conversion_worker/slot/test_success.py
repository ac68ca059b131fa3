"""A conversion through a slot: stored result, events, steps, and messages that come twice."""

import hashlib

from converto_core.conversion.record import Lane, Status, Step
from converto_core.events import conversion_created
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from tests.unit.conversion_worker.fakes import FakeConverter, Gate, files_in, make_upper_case
from tests.unit.conversion_worker.harness import OWNER, Harness
from tests.unit.fake_clock import until


async def test_result_is_stored_with_hashes_and_times(harness: Harness) -> None:
    """Behaviours I2, I3, I4 and C5: hashes of the source, start before work, outputs and completion time after it."""
    record = await harness.request(b"words\n")
    await harness.start_slot()
    done = await harness.wait_for(record, Status.COMPLETED)
    file = await harness.stores.files.get(record.file_id)
    (output,) = done.outputs

    assert file is not None
    assert file.sha256 == hashlib.sha256(b"words\n").hexdigest() == done.source_sha256
    assert file.sha512 == hashlib.sha512(b"words\n").hexdigest()
    assert (done.percent, done.attempt, done.worker, done.publish_due) == (100.0, 1, None, None)
    assert done.engine_versions == {"fake": "1.0"}
    assert done.started_at is not None
    assert done.completed_at is not None
    assert output.filename == "notes.pdf"
    assert output.sha256 == hashlib.sha256(b"WORDS\n").hexdigest()
    assert output.key == f"t/{OWNER}/out/{record.id}/1/result.pdf"
    assert await harness.objects.read_range(output.key, start=0, length=99) == b"WORDS\n"
    assert harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0
    assert files_in(harness.workspace.folder) == []


async def test_events_report_started_then_completed(harness: Harness) -> None:
    record = await harness.request()
    await harness.start_slot()
    await until(lambda: any(event.status is Status.COMPLETED for event in harness.events))

    assert [event.status for event in harness.events] == [Status.PROCESSING, Status.COMPLETED]
    assert {event.id for event in harness.events} == {record.id}


async def test_repeated_message_runs_the_conversion_once(harness: Harness) -> None:
    """Promise 2: at-least-once delivery, one visible effect."""
    gate = Gate()
    harness.converter.behaviour = gate
    record = await harness.request()
    for _ in range(5):
        await harness.bus.publish(conversion_created(record))
    await harness.start_slot()
    await harness.start_slot()
    await gate.reached.wait()
    await until(lambda: harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)
    gate.open.set()
    await harness.wait_for(record, Status.COMPLETED)

    assert len(harness.converter.jobs) == 1


async def test_message_with_an_old_token_claims_nothing(harness: Harness) -> None:
    record = await harness.request(token=4)
    await harness.start_slot()
    await harness.wait_for(record, Status.COMPLETED)
    await harness.bus.publish(conversion_created(record))
    await until(lambda: harness.bus.waiting(Family.OFFICE, Lane.NORMAL) == 0)

    assert len(harness.converter.jobs) == 1
    assert (await harness.get(record)).token == 5


async def test_each_step_converts_the_product_of_the_previous_one(harness: Harness) -> None:
    async def pages(job: Job) -> list[Product]:
        made = [job.folder / f"{number}.png" for number in (1, 2, 3)]
        for path in made:
            path.write_bytes(path.name.encode() + job.source.read_bytes())
        return [Product(path=path, page=number) for number, path in enumerate(made, start=1)]

    first = FakeConverter(make_upper_case, seconds=3)
    second = FakeConverter(pages, name="pager", source="pdf", target="png")
    record = await harness.request(plan=(Step("fake", "txt", "pdf"), Step("pager", "pdf", "png")))
    await harness.start_slot(first, second)
    done = await harness.wait_for(record, Status.COMPLETED)

    assert [(output.page, output.filename) for output in done.outputs] == [
        (1, "notes-1.png"),
        (2, "notes-2.png"),
        (3, "notes-3.png"),
    ]
    assert second.sources_seen == [b"WORDS\n"]
    assert second.jobs[0].folder != first.jobs[0].folder
    assert second.jobs[0].source.parent == second.jobs[0].folder


async def test_only_one_slot_takes_the_quarantine_lane(harness: Harness) -> None:
    """Promise 3: a file that killed workers runs alone."""
    quarantined = await harness.request(lane=Lane.QUARANTINE)
    ordinary = await harness.request()
    await harness.start_slot()
    await harness.wait_for(ordinary, Status.COMPLETED)
    assert (await harness.get(quarantined)).status is Status.PENDING
    await harness.start_slot(takes_quarantine=True)

    await harness.wait_for(quarantined, Status.COMPLETED)


async def test_running_conversion_is_listed(harness: Harness) -> None:
    """Behaviour M15: running conversions are visible."""
    gate, record, _ = await harness.start_held()
    seen = [slot.conversion_id for slot in harness.running_jobs.running]
    gate.open.set()
    await harness.wait_for(record, Status.COMPLETED)

    assert seen == [record.id]
