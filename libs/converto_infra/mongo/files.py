"""`FileStore` on MongoDB."""

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING

from converto_core.files.record import File, FileStatus
from converto_infra.mongo.client import CurrentCollection
from converto_infra.mongo.collection import Collection, between, exactly, one_of, plain
from converto_infra.mongo.driver import Document
from converto_infra.resilience import Guard
from converto_infra.unreadable import UnreadableRecords


class MongoFileStore:
    """`FileStore` on the collection `files`."""

    def __init__(
        self, collection: CurrentCollection, guard: Guard, unreadable: UnreadableRecords | None = None
    ) -> None:
        self._files = Collection(collection, File, guard, unreadable)

    async def ensure_indexes(self) -> None:
        """For an owner's list and for housekeeping."""
        await self._files.ensure_index(("owner", ASCENDING), ("id", DESCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("created_at", ASCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("updated_at", ASCENDING))
        await self._files.ensure_index(("status", ASCENDING), ("look_due", ASCENDING))

    async def insert(self, file: File) -> None:
        """Store a new record durably; raises `DuplicateKey`."""
        await self._files.insert(file)

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it does not exist or belongs to another owner."""
        return await self._files.get(file_id, owner=owner)

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected."""
        where = {"_id": file_id, "version": version, "status": one_of(expected)}
        return await self._files.update(where, {"$set": plain(assign)})

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""
        alive = one_of((FileStatus.AWAITING_UPLOAD, FileStatus.UPLOADED))
        where: Document = {"owner": exactly(owner), "status": alive}
        if after is not None:
            where["id"] = {"$lt": after}
        return await self._files.select(where, newest_by="id", limit=limit)

    async def abandoned(self, *, created_before_ms: int, limit: int, created_from_ms: int = 0) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        created = between(created_from_ms, created_before_ms)
        where = {"status": exactly(FileStatus.AWAITING_UPLOAD), "created_at": created}
        return await self._files.select(where, oldest_by="created_at", limit=limit)

    async def to_look_at(self, *, now_ms: int, limit: int) -> list[File]:
        """Files whose `look_due` has passed, longest overdue first."""
        where = {"status": exactly(FileStatus.AWAITING_UPLOAD), "look_due": {"$lte": now_ms, "$gte": 0}}
        return await self._files.select(where, oldest_by="look_due", limit=limit)

    async def looks_after(self, after_ms: int, *, limit: int) -> list[File]:
        """Files whose `look_due` is later, latest first."""
        where: Document = {"status": exactly(FileStatus.AWAITING_UPLOAD), "look_due": {"$gt": after_ms}}
        return await self._files.select(where, newest_by="look_due", limit=limit)

    async def take_look(self, file: File, *, next_due_ms: int | None, looks: int | None = None) -> bool:
        """Set the file's next `look_due`, and `looks` if given; True for the one of many callers that may look now."""
        seen = {"version": file.version, "status": FileStatus.AWAITING_UPLOAD.value, "look_due": file.look_due}
        assign = {"look_due": next_due_ms, "looks": file.looks if looks is None else looks}
        return await self._files.update({"_id": file.id, **seen}, {"$set": assign}) is not None

    async def replace_upload(self, file: File, *, upload_id: str | None) -> File | None:
        """Set the upload id if the file still waits with the one of `file`."""
        seen = {"version": file.version, "status": FileStatus.AWAITING_UPLOAD.value, "upload_id": file.upload_id}
        return await self._files.update({"_id": file.id, **seen}, {"$set": {"upload_id": upload_id}})

    async def unchanged(self, status: FileStatus, *, from_ms: int, before_ms: int, limit: int) -> list[File]:
        """Files of a status whose `updated_at` is within this period, longest unchanged first."""
        where = {"status": exactly(status), "updated_at": between(from_ms, before_ms)}
        return await self._files.select(where, oldest_by="updated_at", limit=limit)

    async def get_many(self, file_ids: Sequence[str]) -> list[File]:
        """The existing records among these ids, deleted files included."""
        return await self._files.get_many(file_ids)

    async def delete_unchanged(self, file: File) -> bool:
        """Delete the record of a deleted file unless it has changed since it was read."""
        seen = {"status": FileStatus.DELETED.value, "version": file.version, "updated_at": file.updated_at}
        return await self._files.delete({"_id": file.id, **seen})
