"""Finds the records that object keys belong to, so that rules can decide whether anything still needs the object."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from converto_core.conversion.record import Conversion
from converto_core.files.record import File
from converto_core.object_keys import OutputKey, SourceKey, parse_key
from converto_core.ports.stores import ConversionStore, FileStore
from file_service.housekeeping.retention.removal import BATCH

Record = TypeVar("Record", Conversion, File)


class SourceOwner(msgspec.Struct, frozen=True):
    """The file that a source key names; None if the owner in the key has no such file."""

    place: SourceKey
    file: File | None


class OutputOwner(msgspec.Struct, frozen=True):
    """The conversion that an output key names; None if the owner in the key has no such conversion."""

    place: OutputKey
    conversion: Conversion | None


class KeyRecords:
    """Reads the records of many keys in batches."""

    def __init__(self, conversions: ConversionStore, files: FileStore) -> None:
        self._conversions = conversions
        self._files = files

    async def find(self, keys: Iterable[str]) -> dict[str, SourceOwner | OutputOwner]:
        """Return the record of each key; keys that do not follow our layout are left out."""
        places = {key: place for key in keys if (place := parse_key(key)) is not None}
        conversions = await self._find_conversions(places.values())
        files = await self._find_files(places.values())
        return {
            key: OutputOwner(place, _owned(place, conversions.get(place.conversion_id)))
            if isinstance(place, OutputKey)
            else SourceOwner(place, _owned(place, files.get(place.file_id)))
            for key, place in places.items()
        }

    async def _find_conversions(self, places: Iterable[OutputKey | SourceKey]) -> dict[str, Conversion]:
        ids = sorted({place.conversion_id for place in places if isinstance(place, OutputKey)})
        batches = [await self._conversions.get_many(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
        return {conversion.id: conversion for batch in batches for conversion in batch}

    async def _find_files(self, places: Iterable[OutputKey | SourceKey]) -> dict[str, File]:
        ids = sorted({place.file_id for place in places if isinstance(place, SourceKey)})
        batches = [await self._files.get_many(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
        return {file.id: file for batch in batches for file in batch}


def _owned(place: OutputKey | SourceKey, record: Record | None) -> Record | None:
    return record if record is not None and record.owner == place.owner else None
