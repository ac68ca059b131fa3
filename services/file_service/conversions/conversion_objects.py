"""The objects of one conversion, and the one order in which its record and they are deleted."""

import structlog

from converto_core.conversion.record import Conversion
from converto_core.errors import ObjectStoreUnavailable
from converto_core.object_keys import OutputKey, outputs_prefix, parse_key
from converto_core.ports.objects import ObjectStore, StoredObject
from converto_core.ports.stores import ConversionStore

PAGE = 1000

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ConversionObjects:
    """Everything that workers uploaded for a conversion, whether or not it became an output."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def find(self, conversion: Conversion) -> list[StoredObject]:
        """Return its outputs and leftovers under older tokens; objects under a newer token belong to a new attempt."""
        prefix, found, after = outputs_prefix(conversion), list[StoredObject](), None
        while True:
            page = await self._objects.list_page(prefix, after=after, limit=PAGE)
            found += [entry for entry in page.objects if _token(entry.key) <= conversion.token]
            if (after := page.after) is None:
                return found

    async def delete(self, objects: list[StoredObject]) -> None:
        """Delete the objects, after the record has changed; what an outage leaves, the `orphans` sweep deletes."""
        try:
            await self._objects.delete([entry.key for entry in objects])
        except ObjectStoreUnavailable as error:
            log.warning("objects.left_to_the_sweep", count=len(objects), detail=error.detail)


class ConversionDeletion:
    """Deletes ended conversions, for users and for retention: the record as it was read, and only then its objects.

    In the other order, a user's retry between the two would leave a record without its objects.
    """

    def __init__(self, conversions: ConversionStore, objects: ConversionObjects) -> None:
        self._conversions = conversions
        self._objects = objects

    async def find_objects(self, conversion: Conversion) -> list[StoredObject]:
        """Return what `delete` has to delete with the record."""
        return await self._objects.find(conversion)

    async def delete(self, conversion: Conversion, objects: list[StoredObject]) -> bool:
        """Delete both; False, and nothing is deleted, when the record has changed since it was read."""
        if not await self._conversions.delete_unchanged(conversion):
            return False
        await self._objects.delete(objects)
        return True


def _token(key: str) -> int:
    place = parse_key(key)
    return place.token if isinstance(place, OutputKey) else 0
