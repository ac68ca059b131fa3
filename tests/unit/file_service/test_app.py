"""Start-up, catalogue, workers and documentation."""

import json

import msgspec
from pydantic import SecretStr

from converto_core.access import new_key_text
from converto_core.catalogue import Slot
from converto_core.ids import now_ms
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores
from converto_infra.settings import Settings
from file_service.__main__ import description
from file_service.app import FileService, bootstrap_key
from file_service.http.openapi import SNAPSHOT
from tests.unit.file_service.conftest import System, problem, running_system


async def test_start_without_database_is_prepared_later() -> None:
    stores = MemoryStores()
    stores.is_away = True
    key = new_key_text()
    settings = Settings(bootstrap_api_key=SecretStr(key), bootstrap_owner="carla", sweep_interval_s=3600)
    service = FileService(settings, stores, MemoryObjectStore(), MemoryEventBus(), prepare_retry_s=0.001)
    system = System(Settings())
    async with service.running():
        assert (await service.wiring.health.check()).status == "unavailable"
        stores.is_away = False

        async def is_prepared() -> bool:
            return service.wiring.health.is_prepared

        await system.until(is_prepared)

        caller = await service.wiring.keys.caller(key)
        assert (caller.owner, caller.is_admin) == ("carla", True)

        async def is_well() -> bool:
            return (await service.wiring.health.check()).status == "ok"

        await system.until(is_well)


def test_malformed_bootstrap_key_is_ignored() -> None:
    assert bootstrap_key(Settings(bootstrap_api_key=SecretStr("hunter2"))) is None
    assert bootstrap_key(Settings()) is None


async def test_formats_when_asked_then_routes_with_chains_and_options(system: System) -> None:
    everything = (await system.api.get("/api/v1/formats")).json()
    chain = (await system.api.get("/api/v1/formats?source=PPTX&target=png")).json()["routes"]

    assert {entry["name"] for entry in everything["formats"]} >= {"pptx", "pdf", "png"}
    assert len(everything["routes"]) > 5
    assert len(chain) == 1
    assert [step["converter"] for step in chain[0]["steps"]] == ["libreoffice", "pdf-pages"]
    assert set(chain[0]["options_schema"]["properties"]) == {"pages", "dpi"}
    assert (chain[0]["family"], chain[0]["engine"]) == ("office", "pdfium")


async def test_routes_of_a_stopped_worker_are_hidden_but_accepted(system: System) -> None:
    """M1: conversions for machines that are not always online are accepted."""
    (worker,) = await system.stores.workers.seen_since(0)
    await system.stores.workers.put(msgspec.structs.replace(worker, seen_at=now_ms() - 3_600_000))

    shown = (await system.api.get("/api/v1/formats")).json()["routes"]
    sleeping = (await system.api.get("/api/v1/formats?sleeping=true")).json()["routes"]
    accepted = await system.api.post(
        "/api/v1/conversions", json={"target_format": "pdf", "file": {"filename": "a.pptx", "size_bytes": 5}}
    )

    assert shown == []
    assert len(sleeping) > 5
    assert accepted.status_code == 201


async def test_formats_when_format_is_unknown_then_422(system: System) -> None:
    problem(await system.api.get("/api/v1/formats?source=xyz"), 422, "invalid_request")


async def test_workers_show_only_ids_of_own_conversions(system: System) -> None:
    """M15: shows what runs where, without the ids of other owners' conversions."""
    mine = await system.pending()
    await system.put_worker(
        Slot(conversion_id=mine, started_at=now_ms(), pid=7), Slot(conversion_id="foreign", started_at=now_ms())
    )

    workers = (await system.api.get("/api/v1/workers")).json()["workers"]

    assert workers[0]["offers"] == ["libreoffice", "pdf-document", "pdf-pages", "vips"]
    assert [slot["conversion_id"] for slot in workers[0]["running"]] == [mine, None]


async def test_docs_when_opened_then_everything_comes_from_our_own_files(system: System) -> None:
    async with system.client(None) as client:
        page = await client.get("/api/docs")
        described = await client.get("/api/openapi.json")
        parts = {
            name: await client.get(f"/api/docs/{name}")
            for name in ("swagger-ui-bundle.js", "swagger-ui.css", "index.css", "start.js", "openapi.json")
        }
        root = await client.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
    assert "<script>" not in page.text
    assert described.json()["openapi"].startswith("3.1")
    assert parts["openapi.json"].content == described.content
    assert 'url: "openapi.json"' in parts["start.js"].text
    assert all(part.status_code == 200 for part in parts.values())
    assert (root.status_code, root.headers["location"]) == (307, "/api/docs")


def test_description_when_built_then_equals_the_snapshot() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == description(), "run: python -m file_service openapi"


def test_every_post_documents_body_key_and_problems() -> None:
    described = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    posts = [path["post"] for path in described["paths"].values() if "post" in path]

    assert len(posts) == 11
    for post in posts:
        assert post["requestBody"]["content"]["application/json"]["example"] is not None
        takes_key = "Idempotency-Key" in {parameter["name"] for parameter in post["parameters"]}
        assert takes_key is (post["operationId"] != "make_plan")  # a dry run stores nothing
        assert "application/problem+json" in post["responses"]["401"]["content"]
    created = described["paths"]["/api/v1/conversions"]["post"]
    assert "multipart/form-data" in created["requestBody"]["content"]
    assert described["components"]["schemas"]["NewFile"]["additionalProperties"] is False


def test_description_when_read_then_every_reference_leads_somewhere() -> None:
    text = SNAPSHOT.read_text(encoding="utf-8")
    schemas = json.loads(text)["components"]["schemas"]
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert named <= set(schemas)
    assert text.count('"$ref": ') == text.count('"$ref": "#/components/schemas/')


async def test_links_when_public_url_is_set_then_they_lead_there() -> None:
    async with running_system(public_url="https://example.org/converto/") as system:
        wanted = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 5}}

        answer = await system.api.post("/api/v1/conversions", json=wanted)

        assert answer.headers["location"].startswith("https://example.org/converto/api/v1/conversions/")
