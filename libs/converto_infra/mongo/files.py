"""`FileStore` on MongoDB."""

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from converto_core.files.record import File, FileStatus
from converto_infra.mongo.collection import Collection, document_of, exactly, identity, plain, record_of, record_or_none
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard


class MongoFileStore:
    """`FileStore` on the collection `files`."""

    def __init__(self, collection: AsyncCollection[Document], guard: Guard) -> None:
        self._files = Collection(collection, guard)

    async def ensure_indexes(self) -> None:
        """For the owner's list and for the sweeps."""
        await self._files.ensure_index(("owner", ASCENDING), ("id", DESCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("created_at", ASCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("updated_at", ASCENDING))

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

    async def abandoned(self, *, created_before_ms: int, limit: int, created_from_ms: int = 0) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        created = {"$gte": created_from_ms, "$lt": created_before_ms}
        where = {"status": exactly(FileStatus.AWAITING_UPLOAD.value), "created_at": created}
        return await self._select(where, order="created_at", limit=limit)

    async def unchanged(self, status: FileStatus, *, from_ms: int, before_ms: int, limit: int) -> list[File]:
        """Files of a status whose `updated_at` lies in this time, longest unchanged first."""
        where = {"status": exactly(status.value), "updated_at": {"$gte": from_ms, "$lt": before_ms}}
        return await self._select(where, order="updated_at", limit=limit)

    async def get_many(self, file_ids: Sequence[str]) -> list[File]:
        """Those of these records that are there, deleted ones too."""
        return [record_of(document, File) for document in await self._files.get_many(file_ids)]

    async def delete_unchanged(self, file: File) -> bool:
        """Remove the record of a deleted file if nothing has happened to it since it was read."""
        seen = {"status": FileStatus.DELETED.value, "version": file.version, "updated_at": file.updated_at}
        return await self._files.delete({"_id": file.id, **seen})

    async def _select(self, where: Document, *, order: str, limit: int) -> list[File]:
        found = await self._files.select(where, order=[(order, ASCENDING)], limit=limit)
        return [record_of(document, File) for document in found]
