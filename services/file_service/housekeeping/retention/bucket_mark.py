"""Marks which database a bucket belongs to: an object in the bucket holds the id of the database.

With the wrong database, for example an empty or an old one, every object in the bucket would look like an orphan.
"""

from collections.abc import Awaitable, Callable

import structlog

from converto_core.errors import SourceGone
from converto_core.ports.objects import ObjectStore

KEY = "converto/database"
MAX_ID_LENGTH = 64

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class BucketMark:
    """The mark of one bucket."""

    def __init__(self, objects: ObjectStore, identity: Callable[[], Awaitable[str]]) -> None:
        """`identity` returns the id of the database."""
        self._objects = objects
        self._identity = identity
        self._is_logged = False

    async def claim(self) -> bool:
        """Mark the bucket if it has no mark; return whether it belongs to our database."""
        if await self._read() is None:
            await self._objects.put(KEY, (await self._identity()).encode(), content_type="text/plain")
        return await self.is_ours()

    async def is_ours(self) -> bool:
        """Return whether the bucket belongs to our database or to none; another's mark is logged once."""
        found, own = await self._read(), await self._identity()
        is_ours = found in (None, own)
        if not is_ours and not self._is_logged:
            hint = f"check CONVERTO_MONGODB_DATABASE and CONVERTO_S3_BUCKET; if they are right, delete the object {KEY}"
            log.error("bucket.belongs_to_another_database", bucket_mark=found, database=own, hint=hint)
        self._is_logged = not is_ours
        return is_ours

    async def _read(self) -> str | None:
        try:
            return (await self._objects.read_range(KEY, start=0, length=MAX_ID_LENGTH)).decode(errors="replace")
        except SourceGone:
            return None
