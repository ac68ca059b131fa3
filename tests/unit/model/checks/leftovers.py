"""What housekeeping must not leave behind, told by looking into the servers and not by asking its rules."""

from collections.abc import Iterator

from converto_core.conversion.record import Status
from converto_core.files.record import FileStatus
from converto_core.object_keys import OutputKey, SourceKey, parse_key
from converto_infra.memory.stores import MemoryStores
from tests.unit.model.checks.servers import ObservedObjects


def leftovers(stores: MemoryStores, objects: ObservedObjects, *, before_ms: int) -> list[str]:
    """Objects that no record has needed since `before_ms`."""
    return [f"{key} is an orphan" for key in objects.keys if not _is_needed(stores, key, before_ms)]


def remains(stores: MemoryStores, objects: ObservedObjects) -> list[str]:
    """Everything that is still there although all of it is older than anything is kept."""
    return [*_records_left(stores), *(f"{key} is left" for key in objects.keys if parse_key(key) is not None)]


def _is_needed(stores: MemoryStores, key: str, before_ms: int) -> bool:
    place = parse_key(key)
    if isinstance(place, OutputKey):
        conversion = stores.conversions._conversions.get(place.conversion_id)
        is_completed = conversion is not None and conversion.status is Status.COMPLETED
        return is_completed and key in {output.key for output in conversion.outputs}
    if isinstance(place, SourceKey):
        file = stores.files._files.get(place.file_id)
        return file is not None and (file.status is not FileStatus.DELETED or file.updated_at >= before_ms)
    return True


def _records_left(stores: MemoryStores) -> Iterator[str]:
    kinds = {
        "conversion": stores.conversions._conversions,
        "file": stores.files._files,
        "cache entry": stores.cache._entries,
        "answer": stores.access._answers,
        "history entry": stores.history._entries,
    }
    for name, records in kinds.items():
        for record in records.select(lambda one: True):
            yield f"the {name} {record.id} is left: {record}"
