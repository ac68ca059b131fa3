"""`POST /plans`: a dry run returns steps, options, duration and losses, and stores nothing (M5, C12, W2)."""

from typing import Any

import msgspec
import pytest

from converto_core.catalogue import Loss
from converto_core.conversion.record import Conversion, Status
from converto_core.ids import new_id, now_ms
from tests.unit.file_service.conftest import PNG, System, offers, problem

ADDRESS = "/api/v1/plans"


async def plan(system: System, **body: Any) -> Any:
    answer = await system.api.post(ADDRESS, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ran(
    system: System, *durations_s: float, source: str = "pptx", target: str = "png", cached_from: str | None = None
) -> None:
    """Add recent conversions of another owner with these durations; old ones would expire."""
    started_at = now_ms() - 1_000_000
    for seconds in durations_s:
        await system.stores.conversions.insert(
            Conversion(
                id=new_id(),
                owner="somebody",
                file_id=new_id(),
                created_at=0,
                updated_at=0,
                source_format=source,
                target_format=target,
                status=Status.COMPLETED,
                started_at=started_at,
                completed_at=started_at + int(seconds * 1000),
                cached_from=cached_from,
            )
        )


async def test_plan_of_a_file_name_lists_steps_engines_and_options(system: System) -> None:
    """W2: the plan of a deck to page pictures goes through PDF, before anything is uploaded."""
    planned = await plan(system, filename="deck.pptx", target_format="png", options={"dpi": 100})

    assert [(step["source_format"], step["target_format"]) for step in planned["steps"]] == [
        ("pptx", "pdf"),
        ("pdf", "png"),
    ]
    assert [step["engine"] for step in planned["steps"]] == ["LibreOffice", "pdfium"]
    assert set(planned["options_schema"]["properties"]) == {"pages", "dpi"}
    assert await system.stores.conversions.count_by_status() == {}


async def test_plan_without_earlier_runs_marks_its_time_as_a_guess(system: System) -> None:
    planned = await plan(system, source_format="pptx", target_format="png")

    assert planned["expected"]["based_on"] == 0
    assert planned["expected"]["low_s"] < planned["expected"]["high_s"]


async def test_plan_when_results_were_copied_then_they_are_no_experience(system: System) -> None:
    """Copies from the cache do not show how long an engine takes."""
    await ran(system, 4, 5, 5, 6, 6)
    await ran(system, 0.1, 0.1, 0.1, cached_from="another")

    assert (await plan(system, source_format="pptx", target_format="png"))["expected"]["based_on"] == 5


async def test_plan_estimates_time_from_earlier_runs(system: System) -> None:
    await ran(system, 4, 5, 5, 6, 6, 7)
    await ran(system, 500, 500, 500, 500, 500, target="webp")

    planned = await plan(system, source_format="pptx", target_format="png")

    assert planned["expected"]["based_on"] == 6
    assert 4 <= planned["expected"]["low_s"] <= 5
    assert 6 <= planned["expected"]["high_s"] <= 7


async def test_plan_lists_each_loss_once(system: System) -> None:
    (worker,) = await system.stores.workers.seen_since(0)
    losing = [
        msgspec.structs.replace(
            offer, losses=(Loss(text="links", sources=("pdf",)), Loss(text="sound", targets=("webp",)))
        )
        for offer in offers()
    ]
    await system.stores.workers.put(msgspec.structs.replace(worker, offers=tuple(losing)))

    planned = await plan(system, source_format="pptx", target_format="png")

    assert planned["losses"] == ["links"]


async def test_plan_of_an_existing_file_uses_its_content(system: System) -> None:
    file_id = (await system.record(await system.pending(PNG, "photo.jpg", "webp"))).file_id

    planned = await plan(system, file_id=file_id, target_format="webp")

    assert planned["source_format"] == "png"
    refused = await system.stranger.post(ADDRESS, json={"file_id": file_id, "target_format": "webp"})
    assert problem(refused, 404, "not_found")


async def test_plan_of_an_impossible_pair_names_possible_targets(system: System) -> None:
    """M5, C12."""
    answer = await system.api.post(ADDRESS, json={"source_format": "pptx", "target_format": "mp3"})

    assert "Possible: pdf, png, webp" in problem(answer, 422, "unsupported_conversion")["detail"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"target_format": "pdf"}, "invalid_request"),
        ({"target_format": "pdf", "filename": "a.pptx", "source_format": "pptx"}, "invalid_request"),
        ({"target_format": "pdf", "filename": "a.unknown"}, "invalid_request"),
        ({"target_format": "pdf", "source_format": "pptx", "options": {"colour": 1}}, "options_invalid"),
    ],
)
async def test_plan_when_the_question_is_wrong_then_422_says_why(
    system: System, body: dict[str, Any], code: str
) -> None:
    """C12."""
    assert problem(await system.api.post(ADDRESS, json=body), 422, code)


async def test_plan_leaves_idempotency_keys_to_others(system: System) -> None:
    """A caller that may only read must not use up a key for those of the same owner who write."""
    key = {"Idempotency-Key": "job-42"}
    planned = await system.api.post(ADDRESS, json={"source_format": "png", "target_format": "webp"}, headers=key)
    created = await system.api.post(
        "/api/v1/conversions",
        json={"target_format": "webp", "file": {"filename": "a.png", "size_bytes": len(PNG)}},
        headers=key,
    )

    assert (planned.status_code, created.status_code) == (200, 201), created.text
    assert "idempotent-replayed" not in created.headers
