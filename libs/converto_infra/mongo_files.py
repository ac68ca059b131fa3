"""`FileStore` on MongoDB."""

from collections.abc import Iterable
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.file import File, FileStatus
from converto_infra.mongo_collection import (
    Collection,
    Document,
    document_of,
    exactly,
    identity,
    plain,
    record_of,
    record_or_none,
)
from converto_infra.resilience import Guard


class MongoFileStore:
    """`FileStore` on the collection `files`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._files = Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the owner's list and for the sweep of abandoned uploads."""
        await self._files.ensure_index(("owner", ASCENDING), ("id", DESCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("created_at", ASCENDING))

    async def insert(self, file: File) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._files.insert(document_of(file))

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it is not there or not this owner's."""
        return record_or_none(await self._files.get(identity(file_id, owner)), File)

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected."""
        where = {"_id": file_id, "version": version, "status": {"$in": [status.value for status in expected]}}
        return record_or_none(await self._files.update(where, {"$set": plain(assign)}), File)

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""
        alive = [FileStatus.AWAITING_UPLOAD.value, FileStatus.UPLOADED.value]
        where: Document = {"owner": exactly(owner), "status": {"$in": alive}}
        if after is not None:
            where["id"] = {"$lt": after}
        found = await self._files.select(where, order=[("id", DESCENDING)], limit=limit)
        return [record_of(document, File) for document in found]

    async def abandoned(self, *, created_before_ms: int, limit: int) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        where = {"status": exactly(FileStatus.AWAITING_UPLOAD.value), "created_at": {"$lt": created_before_ms}}
        found = await self._files.select(where, order=[("created_at", ASCENDING)], limit=limit)
        return [record_of(document, File) for document in found]
