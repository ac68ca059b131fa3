"""`append_file_ids`: several uploaded files joined into one conversion."""

from typing import Any

from tests.unit.file_service.conftest import PDF, PNG, System, problem

ADDRESS = "/api/v1/conversions"
UNKNOWN = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"


async def uploaded(system: System, body: bytes, filename: str) -> str:
    """Upload a file and return its id."""
    declared = {"filename": filename, "size_bytes": len(body)}
    created = (await system.api.post("/api/v1/files", json=declared)).json()
    assert await system.send(created["upload"], body) == 200
    assert (await system.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")).status_code == 200
    file_id: str = created["file"]["id"]
    return file_id


async def test_appended_files_keep_order_and_versions(system: System) -> None:
    first, second, third = [await uploaded(system, PDF, name) for name in ("a.pdf", "b.pdf", "c.pdf")]
    wanted = {"target_format": "pdf", "file_id": first, "append_file_ids": [third, second, third]}

    answer = await system.api.post(ADDRESS, json=wanted)

    body = answer.json()["conversion"]
    record = await system.record(body["id"])
    assert answer.status_code == 201
    assert body["status"] == "pending"
    assert body["append_file_ids"] == [third, second, third]
    assert body["filename"] == "a-and-3-more.pdf"
    assert [(entry.file_id, entry.file_version) for entry in record.appended] == [(third, 1), (second, 1), (third, 1)]


async def test_files_that_cannot_be_joined_are_refused(system: System) -> None:
    paper, picture = await uploaded(system, PDF, "a.pdf"), await uploaded(system, PNG, "b.png")
    waiting = (await system.api.post("/api/v1/files", json={"filename": "c.pdf", "size_bytes": 9})).json()["file"]["id"]

    async def refused(status: int, code: str, **fields: Any) -> str:
        answer = await system.api.post(ADDRESS, json={"target_format": "pdf", "file_id": paper, **fields})
        detail: str = problem(answer, status, code)["detail"]
        return detail

    assert '"b.png" cannot be joined' in await refused(422, "invalid_request", append_file_ids=[picture])
    assert "has not been uploaded" in await refused(422, "invalid_request", append_file_ids=[waiting])
    assert "has not been uploaded" in await refused(422, "invalid_request", file_id=waiting, append_file_ids=[paper])
    assert "cannot be joined" in await refused(422, "invalid_request", target_format="png", append_file_ids=[paper])
    await refused(422, "invalid_request", append_file_ids=[paper] * 101)
    await refused(404, "not_found", append_file_ids=[UNKNOWN])
    new = {"target_format": "pdf", "file": {"filename": "a.pdf", "size_bytes": 1}, "append_file_ids": [paper]}
    assert "requires file_id" in problem(await system.api.post(ADDRESS, json=new), 422, "invalid_request")["detail"]
    assert (await system.api.get(ADDRESS)).json()["conversions"] == []


async def test_appending_another_owners_file_is_404(system: System) -> None:
    theirs = await uploaded(system, PDF, "secret.pdf")
    system.api, system.stranger = system.stranger, system.api
    mine = await uploaded(system, PDF, "a.pdf")

    answer = await system.api.post(ADDRESS, json={"target_format": "pdf", "file_id": mine, "append_file_ids": [theirs]})

    problem(answer, 404, "not_found")
