"""Lists and deletes the objects of one conversion."""

from converto_core.conversion.record import Conversion
from converto_core.object_keys import OutputKey, parse_key
from converto_core.ports.objects import ObjectStore, StoredObject
from file_service.housekeeping.retention.removal import Removed, removed_object

PAGE = 1000


class ConversionObjects:
    """Everything that workers uploaded for a conversion, whether or not it became an output."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def find(self, conversion: Conversion) -> list[StoredObject]:
        """Return its outputs and leftovers under older tokens; objects under a newer token belong to a new attempt."""
        prefix, found, after = f"t/{conversion.owner}/out/{conversion.id}/", list[StoredObject](), None
        while True:
            page = await self._objects.list_page(prefix, after=after, limit=PAGE)
            found += [entry for entry in page.objects if _token(entry.key) <= conversion.token]
            if (after := page.after) is None:
                return found

    async def delete(self, objects: list[StoredObject]) -> None:
        """Delete the objects, after the record has changed; if this fails, the `orphans` sweep deletes the rest."""
        await self._objects.delete([entry.key for entry in objects])


def removed_objects(objects: list[StoredObject], reason: str) -> list[Removed]:
    """Describe the removal of these objects."""
    return [removed_object(entry, reason) for entry in objects]


def _token(key: str) -> int:
    place = parse_key(key)
    return place.token if isinstance(place, OutputKey) else 0
