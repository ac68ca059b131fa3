"""In-memory twin of `FileStore`."""

from collections.abc import Iterable, Sequence
from typing import Any

from converto_core.files.record import File, FileStatus
from converto_infra.memory.collection import Collection, MemoryServer, owned


class MemoryFileStore:
    """Twin of `FileStore`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._files = Collection(File)

    async def insert(self, file: File) -> None:
        """Store a new record; raises `DuplicateKey`."""
        await self._server.answer()
        self._files.insert(file)

    async def get(self, file_id: str, *, owner: str | None = None) -> File | None:
        """The record, or None when it does not exist or belongs to another owner."""
        await self._server.answer()
        return self._files.get(file_id, owned(owner))

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        """Set fields if version and status are as expected."""
        await self._server.answer()
        before = self._files.get(file_id, {"version": version})
        if before is None or before.status not in frozenset(expected):
            return None
        return self._files.assign(file_id, assign)

    async def find(self, *, owner: str, after: str | None, limit: int) -> list[File]:
        """Files that are not deleted, newest first."""
        await self._server.answer()
        found = self._files.select(
            lambda one: (
                one.owner == owner and one.status is not FileStatus.DELETED and (after is None or one.id < after)
            )
        )
        return sorted(found, key=lambda one: one.id, reverse=True)[:limit]

    async def abandoned(self, *, created_before_ms: int, limit: int, created_from_ms: int = 0) -> list[File]:
        """Files still awaiting their upload, oldest first."""
        await self._server.answer()
        found = self._files.select(
            lambda one: (
                one.status is FileStatus.AWAITING_UPLOAD and created_from_ms <= one.created_at < created_before_ms
            )
        )
        return sorted(found, key=lambda one: one.created_at)[:limit]

    async def to_look_at(self, *, now_ms: int, limit: int) -> list[File]:
        """Files whose `look_due` has passed, longest overdue first."""
        await self._server.answer()
        due = [
            (one.look_due, one.id, one)
            for one in self._files.select(lambda one: one.status is FileStatus.AWAITING_UPLOAD)
            if one.look_due is not None and one.look_due <= now_ms
        ]
        return [one for _, _, one in sorted(due, key=lambda found: found[:2])][:limit]

    async def looks_after(self, after_ms: int, *, limit: int) -> list[File]:
        """Files whose `look_due` is later, latest first."""
        await self._server.answer()
        found = self._files.select(
            lambda one: one.status is FileStatus.AWAITING_UPLOAD and (one.look_due or 0) > after_ms
        )
        return sorted(found, key=lambda one: one.look_due or 0, reverse=True)[:limit]

    async def take_look(self, file: File, *, next_due_ms: int | None, looks: int | None = None) -> bool:
        """Set the file's next `look_due`, and `looks` if given; True for the one of many callers that may look now."""
        await self._server.answer()
        seen = {"version": file.version, "status": FileStatus.AWAITING_UPLOAD, "look_due": file.look_due}
        if self._files.get(file.id, seen) is None:
            return False
        self._files.assign(file.id, {"look_due": next_due_ms, "looks": file.looks if looks is None else looks})
        return True

    async def replace_upload(self, file: File, *, upload_id: str | None) -> File | None:
        """Set the upload id if the file still waits with the one of `file`."""
        await self._server.answer()
        seen = {"version": file.version, "status": FileStatus.AWAITING_UPLOAD, "upload_id": file.upload_id}
        return None if self._files.get(file.id, seen) is None else self._files.assign(file.id, {"upload_id": upload_id})

    async def unchanged(self, status: FileStatus, *, from_ms: int, before_ms: int, limit: int) -> list[File]:
        """Files of a status whose `updated_at` is within this period, longest unchanged first."""
        await self._server.answer()
        found = self._files.select(lambda one: one.status is status and from_ms <= one.updated_at < before_ms)
        return sorted(found, key=lambda one: one.updated_at)[:limit]

    async def get_many(self, file_ids: Sequence[str]) -> list[File]:
        """The existing records among these ids, deleted files included."""
        await self._server.answer()
        return [found for one in set(file_ids) if (found := self._files.get(one)) is not None]

    async def delete_unchanged(self, file: File) -> bool:
        """Delete the record of a deleted file unless it has changed since it was read."""
        await self._server.answer()
        seen = {"status": FileStatus.DELETED, "version": file.version, "updated_at": file.updated_at}
        if self._files.get(file.id, seen) is None:
            return False
        self._files.delete(file.id)
        return True
