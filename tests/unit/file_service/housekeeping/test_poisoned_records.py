"""One record that meets a bug, or cannot be read, costs the sweeps outside the retention rules only itself (C4, C8)."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Lane, Status
from converto_core.dead_letters import DeadLetter, DeadLetteredMessage
from converto_core.events import ConversionCreated
from converto_core.formats import Family
from converto_infra.memory.collection import MemoryServer
from converto_infra.memory.conversions import MemoryConversionStore
from converto_infra.memory.dead_letters import MemoryDeadLetterStore
from converto_infra.memory.history import MemoryHistoryStore
from converto_infra.memory.stores import MemoryEventBus
from file_service.delivery.outbox import BATCH
from file_service.housekeeping.sweeps import Sweeps
from tests.unit.file_service.housekeeping.memory_servers import DAY_S, MemoryServers

LEASE_S = 21.0


class Bug(Exception):
    """No error that anybody foresaw."""


class BuggyConversions(MemoryConversionStore):
    """Meets a bug at every change of the records `poisoned`."""

    def __init__(self, server: MemoryServer, history: MemoryHistoryStore) -> None:
        super().__init__(server, history)
        self.poisoned = set[str]()

    async def apply(self, change: Change) -> Conversion | None:
        if change.id in self.poisoned:
            raise Bug
        return await super().apply(change)


class BuggyBus(MemoryEventBus):
    """Meets a bug when it publishes the messages `poisoned`."""

    def __init__(self) -> None:
        super().__init__()
        self.poisoned = set[str]()

    async def publish(self, event: ConversionCreated) -> None:
        if event.id in self.poisoned:
            raise Bug
        await super().publish(event)


class BuggyDeadLetters(MemoryDeadLetterStore):
    """Meets a bug at the dead letters about the conversions `poisoned`."""

    poisoned: frozenset[str | None] = frozenset()

    async def insert(self, message: DeadLetter) -> None:
        if message.conversion_id in self.poisoned:
            raise Bug
        await super().insert(message)

    async def delete(self, message_id: str) -> bool:
        found = await self.get(message_id)
        if found is not None and found.conversion_id in self.poisoned:
            raise Bug
        return await super().delete(message_id)


class Poisoned(MemoryServers):
    """Servers of which some meet bugs, and the sweeps over them."""

    def __init__(self) -> None:
        super().__init__()
        self.bus: BuggyBus = BuggyBus()
        self.conversions = BuggyConversions(self.stores, self.stores.history)
        self.dead_letters = BuggyDeadLetters(self.stores)
        self.stores.conversions, self.stores.dead_letters = self.conversions, self.dead_letters
        self.sweeps: Sweeps = self.another_process()

    async def pending(self, **fields: Any) -> Conversion:
        return await self.add(Status.PENDING, **{"publish_due": 0, **fields})

    def spoil(self, record: Conversion) -> None:
        self.conversions._conversions.spoil(record.id, {"attempt": "many"})

    def park(self, conversion_id: str) -> None:
        body = f'{{"type":"conversion_created","id":"{conversion_id}"}}'.encode()
        self.bus.add_dead_letter(
            DeadLetteredMessage(body=body, routing_key="k", queue="q", verdict="rejected", deaths=1, died_at=1)
        )


@pytest.fixture
def servers() -> Poisoned:
    return Poisoned()


async def test_outbox_sends_what_stands_behind_a_bug(servers: Poisoned) -> None:
    first, *others = [await servers.pending() for _ in range(3)]
    servers.bus.poisoned = {first.id}
    with capture_logs() as logs:
        assert await servers.sweeps.outbox.sweep() == 2
        assert await servers.sweeps.outbox.sweep() == 0

    assert servers.waiting() == len(others)
    assert [one["id"] for one in logs if one["event"] == "sweep.record_broken"] == [first.id]


async def test_outbox_tries_a_broken_record_again(servers: Poisoned) -> None:
    record = await servers.pending()
    servers.bus.poisoned = {record.id}
    await servers.sweeps.outbox.sweep()
    servers.bus.poisoned.clear()
    servers.passed_s += 60

    assert await servers.sweeps.outbox.sweep() == 1


@pytest.mark.parametrize("broken", ["bug", "unreadable"])
async def test_many_broken_records_hide_no_healthy_one(servers: Poisoned, broken: str) -> None:
    """They are overdue the longest, so they fill the first page."""
    records = [await servers.pending() for _ in range(BATCH + 50)]
    healthy = await servers.pending(publish_due=1)
    for record in records:
        if broken == "bug":
            servers.bus.poisoned.add(record.id)
        else:
            servers.spoil(record)
    sent = [await servers.sweeps.outbox.sweep() for _ in range(2)]

    assert sum(sent) == 1
    assert (await servers.reload(healthy)).published == 1


@pytest.mark.parametrize("broken", ["bug", "unreadable"])
async def test_reaper_reaps_what_stands_beside_a_bad_record(servers: Poisoned, broken: str) -> None:
    records = [await servers.add(Status.PROCESSING, token=1, beat=1, worker="w") for _ in range(3)]
    if broken == "bug":
        servers.conversions.poisoned = {records[0].id}
    else:
        servers.spoil(records[0])
    await servers.sweeps.reaper.sweep()
    for _ in range(int(LEASE_S)):
        servers.passed_s += 1
        await servers.sweeps.reaper.sweep()

    assert [(await servers.reload(one)).status for one in records[1:]] == [Status.PENDING] * 2
    assert servers.waiting(Lane.HIGH) == 2


async def test_reaper_publishes_what_stands_behind_a_bug(servers: Poisoned) -> None:
    records = [await servers.add(Status.PROCESSING, token=1, beat=1, worker="w") for _ in range(3)]
    servers.bus.poisoned = {records[0].id}
    await servers.sweeps.reaper.sweep()
    for _ in range(int(LEASE_S)):
        servers.passed_s += 1
        await servers.sweeps.reaper.sweep()

    assert [(await servers.reload(one)).status for one in records] == [Status.PENDING] * 3
    assert servers.waiting(Lane.HIGH) == 2


@pytest.mark.parametrize("broken", ["bug", "unreadable"])
async def test_lost_messages_of_the_others_are_found(servers: Poisoned, broken: str) -> None:
    due_ms = servers.now_ms() + int(DAY_S * 1000)
    families = (Family.OFFICE, Family.OFFICE, Family.PDF)
    records = [await servers.pending(published=1, publish_due=due_ms, family=family) for family in families]
    if broken == "bug":
        servers.conversions.poisoned = {records[0].id}
    else:
        servers.spoil(records[0])
    servers.passed_s += 10

    assert await servers.sweeps.lost_messages.sweep() == 2
    assert [(await servers.reload(one)).publish_due for one in records[1:]] == [servers.now_ms()] * 2


async def test_other_dead_letters_are_collected(servers: Poisoned) -> None:
    servers.dead_letters.poisoned = frozenset({"bad"})
    for name in ("good-1", "bad", "good-2"):
        servers.park(name)

    assert await servers.sweeps.dead_letters.sweep() == 2
    servers.dead_letters.poisoned = frozenset()
    assert await servers.sweeps.dead_letters.sweep() == 1  # the broker had kept it


async def test_other_old_dead_letters_are_deleted(servers: Poisoned) -> None:
    for name in ("good-1", "bad", "good-2"):
        servers.park(name)
    await servers.sweeps.dead_letters.sweep()
    servers.dead_letters.poisoned = frozenset({"bad"})
    servers.passed_s += 400 * DAY_S

    assert await servers.sweeps.dead_letters.sweep() == 2


async def test_dead_letter_of_an_unreadable_conversion_is_collected(servers: Poisoned) -> None:
    record = await servers.pending()
    servers.spoil(record)
    servers.park(record.id)

    assert await servers.sweeps.dead_letters.sweep() == 1
