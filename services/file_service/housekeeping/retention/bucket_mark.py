"""Which database a bucket belongs to: an id inside the database, and the same id in an object of the bucket.

With the wrong database, an empty or an old one, every object in the bucket would look like an orphan.
"""

from collections.abc import Awaitable, Callable

import structlog

from converto_core.errors import SourceGone
from converto_core.ports.objects import ObjectStore

KEY = "converto/database"
LONGEST_ID = 64

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class BucketMark:
    """The mark of one bucket."""

    def __init__(self, objects: ObjectStore, identity: Callable[[], Awaitable[str]]) -> None:
        """`identity` is the id that the database gave itself."""
        self._objects = objects
        self._identity = identity
        self._is_told = False

    async def claim(self) -> bool:
        """Mark a bucket that nobody has marked; true when it is ours."""
        if await self._read() is None:
            await self._objects.put(KEY, (await self._identity()).encode(), content_type="text/plain")
        return await self.is_ours()

    async def is_ours(self) -> bool:
        """True when the mark is our database's or is missing; says once when it is another's."""
        found, own = await self._read(), await self._identity()
        is_ours = found in (None, own)
        if not is_ours and not self._is_told:
            hint = f"delete the object {KEY} if this database is the right one for this bucket"
            log.error("bucket.belongs_to_another_database", bucket_mark=found, database=own, hint=hint)
        self._is_told = not is_ours
        return is_ours

    async def _read(self) -> str | None:
        try:
            return (await self._objects.read_range(KEY, start=0, length=LONGEST_ID)).decode(errors="replace")
        except SourceGone:
            return None
