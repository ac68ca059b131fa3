"""The objects of one conversion in the object store: listed for a departure, deleted after its record. No rule here."""

from converto_core.conversion.record import Conversion
from converto_core.object_keys import OutputKey, parse_key
from converto_core.ports.objects import ObjectStore, StoredObject
from file_service.housekeeping.retention.removal import Kind, RemovedThing

PAGE = 1000


class ConversionObjects:
    """What workers made for conversions, whether or not it became their result."""

    def __init__(self, objects: ObjectStore) -> None:
        """The object store is passed in."""
        self._objects = objects

    async def of(self, conversion: Conversion) -> list[StoredObject]:
        """Its results and what fenced workers left under older tokens; what a newer token makes is not touched."""
        prefix, found, after = f"t/{conversion.owner}/out/{conversion.id}/", list[StoredObject](), None
        while True:
            page = await self._objects.list_page(prefix, after=after, limit=PAGE)
            found += [entry for entry in page.objects if _token(entry.key) <= conversion.token]
            if (after := page.after) is None:
                return found

    async def delete(self, objects: list[StoredObject]) -> None:
        """Called after the record has changed; if this fails, the sweep of orphans finds what is left."""
        await self._objects.delete([entry.key for entry in objects])


def leaving_objects(objects: list[StoredObject], reason: str) -> list[RemovedThing]:
    """What a dry run tells of them."""
    return [
        RemovedThing(
            kind=Kind.OBJECT, id=entry.key, since_ms=entry.modified_at, size_bytes=entry.size_bytes, reason=reason
        )
        for entry in objects
    ]


def _token(key: str) -> int:
    place = parse_key(key)
    return place.token if isinstance(place, OutputKey) else 0
