"""Which database features the Mongo adapter uses, and that it reads documents of other versions."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

import converto_infra.mongo.stores
from converto_core.conversion.record import Lane, Status
from converto_core.conversion.transitions import lose_result
from converto_core.formats import Family
from converto_core.ports.stores import ConversionFilter
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings
from tests.contract.conftest import DRIVERS
from tests.contract.samples import NOW_MS, OUTPUT, a_pending_conversion, a_running_conversion

# Supported alike by MongoDB 8, Amazon DocumentDB 5 and the small server over SQLite.
ALLOWED = {
    "$set", "$unset", "$inc", "$max", "$min", "$eq", "$in", "$lt", "$lte", "$gt", "$gte",
    "$match", "$group", "$sum", "$avg", "$count", "$sort", "$project", "$limit",
}  # fmt: skip


def operators(path: Path) -> set[str]:
    """Every string literal of a source file that begins with a dollar sign and a letter."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in literals if text.startswith("$") and text[1:2].isalpha()}


def test_adapter_uses_only_portable_operators() -> None:
    adapter = Path(converto_infra.mongo.stores.__file__).parent.glob("*.py")
    used = set().union(*(operators(path) for path in adapter))

    assert "$set" in used
    assert used <= ALLOWED


async def test_document_with_newer_fields_is_readable(
    server_settings: Callable[..., Settings],
) -> None:
    """During a deployment, several versions run at once."""
    settings = server_settings()
    stores = MongoStores.connect(settings)
    known = a_pending_conversion()
    await stores.conversions.insert(known)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongodb_url.get_secret_value())
    async with client:
        documents = client[settings.mongodb_database]["conversions"]
        await documents.find_one_and_update({"_id": known.id}, {"$set": {"invented_later": "x"}})

    found = await stores.conversions.get(known.id)

    assert found == known
    await stores.close()


async def test_result_of_an_older_document_can_be_lost(server_settings: Callable[..., Settings]) -> None:
    """Documents of the version before have neither the field of the mark nor ETags of outputs."""
    settings = server_settings()
    stores = MongoStores.connect(settings)
    known = a_running_conversion(status=Status.COMPLETED, outputs=(OUTPUT,))
    await stores.conversions.insert(known)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongodb_url.get_secret_value())
    async with client:
        documents = client[settings.mongodb_database]["conversions"]
        older = await documents.find_one({"_id": known.id})
        assert older is not None
        outputs = [{name: value for name, value in one.items() if name != "etag"} for one in older["outputs"]]
        await documents.update_one({"_id": known.id}, {"$set": {"outputs": outputs}, "$unset": {"result_lost_at": ""}})

    found = await stores.conversions.get(known.id)
    lost = await stores.conversions.apply(lose_result(known, now_ms=NOW_MS))

    assert found == known
    assert lost is not None and lost.result_lost_at == NOW_MS
    assert await stores.conversions.apply(lose_result(known, now_ms=NOW_MS + 1)) is None
    await stores.close()


async def test_retention_finds_entries_of_a_newer_version(server_settings: Callable[..., Settings]) -> None:
    """After a rollback, entries that this version cannot read still expire."""
    settings = server_settings()
    stores = MongoStores.connect(settings)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongodb_url.get_secret_value())
    async with client:
        entries = client[settings.mongodb_database]["history"]
        await entries.insert_one({"_id": "later", "id": "later", "at": 5, "event": "invented_later"})

    found = await stores.history.old_entries.older_than(from_ms=0, before_ms=10, limit=5)

    assert [entry.id for entry in found] == ["later"]
    await stores.close()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_ensure_indexes_is_idempotent(
    server_settings: Callable[..., Settings],
    driver: str,
) -> None:
    """I3: indexed by (file, target format)."""
    settings = server_settings(mongodb_driver=driver)
    stores = MongoStores.connect(settings)

    await stores.ensure_indexes()
    await stores.ensure_indexes()

    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongodb_url.get_secret_value())
    async with client:
        indexes = await client[settings.mongodb_database]["conversions"].index_information()
    keys = [tuple(name for name, _ in index["key"]) for index in indexes.values()]
    assert ("file_id", "target_format") in keys
    assert ("owner", "id") in keys
    assert ("status", "publish_due") in keys
    assert ("status", "published", "publish_due") in keys
    assert ("status", "completed_at") in keys
    await stores.close()


class RecordedQueries(monitoring.CommandListener):
    """Records the queries of one collection: filter and sort order."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self.queries: list[tuple[dict[str, Any], list[str]]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        command = event.command
        if command.get("find") == self._collection:
            self.queries.append((dict(command["filter"]), list(command.get("sort", {}))))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not of interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not of interest."""


async def test_an_index_serves_the_look_at_waiting_files(server_settings: Callable[..., Settings]) -> None:
    """C7: uploads that wait for hours cost nothing between two looks."""
    settings, recorded = server_settings(), RecordedQueries("files")
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongodb_url.get_secret_value(), event_listeners=[recorded]
    )
    async with client:
        stores = MongoStores(lambda: client, settings, name="database")
        await stores.ensure_indexes()
        await stores.files.to_look_at(now_ms=0, limit=1)
        indexes = await client[settings.mongodb_database]["files"].index_information()

    ((where, order),) = recorded.queries
    assert where["status"] == {"$eq": "awaiting_upload"}
    assert order == ["look_due"]
    assert ["status", "look_due"] in [[name for name, _ in index["key"]] for index in indexes.values()]


async def test_an_index_serves_every_query(
    server_settings: Callable[..., Settings],
) -> None:
    """I15: 100,000 waiting conversions must not make a list slow. The small server follows an index only for `$eq`."""
    settings, recorded = server_settings(), RecordedQueries("conversions")
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongodb_url.get_secret_value(), event_listeners=[recorded]
    )
    async with client:
        stores = MongoStores(lambda: client, settings, name="database")
        await stores.ensure_indexes()
        one = a_pending_conversion(client_id="wall")
        for query in (
            ConversionFilter(owner="ann"),
            ConversionFilter(owner="ann", after=one.id),
            ConversionFilter(owner="ann", client_id="wall"),
            ConversionFilter(owner="ann", target_format="pdf"),
            ConversionFilter(owner="ann", statuses=(Status.PENDING, Status.FAILED), after=one.id),
            ConversionFilter(owner="ann", client_id="wall", statuses=(Status.PROCESSING,)),
            ConversionFilter(owner="ann", file_id=one.file_id, statuses=(Status.AWAITING_UPLOAD,)),
            ConversionFilter(source_format="png", target_format="webp", statuses=(Status.COMPLETED,)),
            ConversionFilter(statuses=(Status.COMPLETED,), after=one.id),
        ):
            await stores.conversions.find(query)
        await stores.conversions.due(now_ms=0, limit=1)
        await stores.conversions.due_after(0, limit=1)
        await stores.conversions.due_after(0, published=1, limit=1)
        await stores.conversions.processing(limit=1)
        await stores.conversions.published(None, None, changed_before_ms=0, limit=1)
        await stores.conversions.published(Family.PDF, Lane.HIGH, changed_before_ms=0, limit=1)
        await stores.conversions.awaiting_upload(created_before_ms=0, limit=1)
        indexes = await client[settings.mongodb_database]["conversions"].index_information()
        keys = [[name for name, _ in index["key"]] for index in indexes.values()]

    assert len(recorded.queries) == 17
    for where, order in recorded.queries:
        exact = {name for name, value in where.items() if isinstance(value, dict) and "$eq" in value}
        wanted = [] if "file_id" in exact else order  # a file has few conversions: sorting them costs nothing
        assert any(
            set(key[: len(exact)]) == exact and key[len(exact) : len(exact) + len(wanted)] == wanted for key in keys
        ), (where, order)
