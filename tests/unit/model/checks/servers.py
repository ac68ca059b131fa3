"""The servers in memory; the reference model checks each change at the moment it is made."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion
from converto_core.events import ConversionCreated
from converto_core.files.record import File, FileStatus
from converto_core.ports.stores import HistoryStore
from converto_infra.memory.collection import MemoryServer
from converto_infra.memory.conversions import MemoryConversionStore
from converto_infra.memory.files import MemoryFileStore
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore
from tests.unit.model.checks.facts import Facts
from tests.unit.model.checks.reference_model import ReferenceModel


class CheckedConversions(MemoryConversionStore):
    """The conversions, with the model that sees each change."""

    def __init__(self, server: MemoryServer, history: HistoryStore, model: ReferenceModel) -> None:
        super().__init__(server, history)
        self._model = model

    async def insert(self, conversion: Conversion) -> None:
        await super().insert(conversion)
        self._model.inserted(conversion)

    async def apply(self, change: Change) -> Conversion | None:
        after = await super().apply(change)
        if after is not None:
            self._model.changed(change, after)
        return after

    async def delete_unchanged(self, conversion: Conversion) -> bool:
        was_there = await super().delete_unchanged(conversion)
        if was_there:
            self._model.deleted(conversion.id)
        return was_there


class ObservedFiles(MemoryFileStore):
    """The files; what is marked as deleted becomes a fact."""

    def __init__(self, server: MemoryServer, facts: Facts) -> None:
        super().__init__(server)
        self._facts = facts

    async def update(
        self, file_id: str, *, version: int, expected: Iterable[FileStatus], assign: dict[str, Any]
    ) -> File | None:
        after = await super().update(file_id, version=version, expected=expected, assign=assign)
        if after is not None and after.status is FileStatus.DELETED:
            self._facts.file_removals.add(file_id)
        return after


class ObservedObjects(MemoryObjectStore):
    """The object store, with a look at its objects and a call before each deletion."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.on_delete: Callable[[str], None] = lambda key: None
        self.changes = 0

    @property
    def keys(self) -> list[str]:
        return list(self._objects)

    def has(self, key: str) -> bool:
        return key in self._objects

    def body_of(self, key: str) -> bytes | None:
        found = self._objects.get(key)
        return None if found is None else found.body

    async def delete(self, keys: Sequence[str]) -> None:
        await self._answer()
        for key in keys:
            if self._objects.pop(key, None) is not None:
                self.changes += 1
                self.on_delete(key)

    def _store(self, key: str, body: bytes, content_type: str) -> str:
        self.changes += 1
        return super()._store(key, body, content_type)


class RecordingBus(MemoryEventBus):
    """The bus; it records each message, so that an old one can be delivered again."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[ConversionCreated] = []
        self._ids: set[str] = set()

    async def publish(self, event: ConversionCreated) -> None:
        await super().publish(event)
        self.sent.append(event)
        self._ids.add(event.message_id)

    def has_sent(self, message_id: str) -> bool:
        return message_id in self._ids

    def repeat(self, event: ConversionCreated) -> None:
        """Deliver the message once more, as a broker may."""
        self.requeue(event)

    def lose_one(self) -> None:
        """Drop the first message in the queues."""
        self.pop([(family, lane) for family, lane in self._queues])
