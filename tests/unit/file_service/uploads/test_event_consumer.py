"""Uploads that the object store reports (C7): what is confirmed, what is left, and when a message is deleted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from converto_core.conversion.record import Lane, Status
from converto_core.errors import StoreUnavailable
from converto_core.files.record import FileStatus
from converto_core.formats import Family
from converto_core.object_keys import source_key
from converto_infra.clock import Clock
from converto_infra.memory.stores import MemoryUploadEvents
from file_service.uploads.event_consumer import FIRST_DELAY_S, UploadEventConsumer
from tests.unit.file_service.conftest import PNG, System, running_system

STARTED = 2
"""The number of changes with an event of a conversion that was registered and queued once."""


class QuickClock(Clock):
    """Pauses and intervals that last a moment; `slept` has the lengths of intervals, `pauses` counts the pauses."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.pauses = 0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        self.pauses += 1
        return await super().wait(event, min(seconds, 0.001))


class Consumed:
    """A file service in memory whose uploads are reported by events."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.now_s, self.clock = 0.0, QuickClock()
        self.events = MemoryUploadEvents(wait_s=0.005, max_deliveries=3, monotonic=lambda: self.now_s)

    def consumer(self, confirm_upload: Callable[[str], Awaitable[object]] | None = None) -> UploadEventConsumer:
        return UploadEventConsumer(
            self.events,
            self.system.stores.files,
            confirm_upload=confirm_upload or self.system.service._confirm_upload,
            check_dependencies=self.system.service._check_dependencies,
            clock=self.clock,
        )

    async def uploaded(self, body: bytes = PNG, **fields: Any) -> tuple[str, str]:
        """A conversion whose bytes have arrived and whose client is gone; its id and the key of its source."""
        created = await self.system.announced(PNG, "a.png", "webp", **fields)
        key = await self.key_of(created)
        await self.system.objects.put(key, body, content_type="image/png")
        return created["conversion"]["id"], key

    async def key_of(self, created: dict[str, Any]) -> str:
        file = await self.system.stores.files.get(created["file"]["id"])
        assert file is not None
        return file.key

    async def status(self, conversion_id: str) -> Status:
        return (await self.system.record(conversion_id)).status

    async def until_settled(self) -> None:
        await self.system.until(self._is_empty)

    async def _is_empty(self) -> bool:
        return not self.events.waiting


@pytest.fixture
async def consumed(system: System) -> Consumed:
    return Consumed(system)


@asynccontextmanager
async def consuming(consumed: Consumed, **how: Any) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(consumed.consumer(**how).run(stopping))
        try:
            yield
        finally:
            stopping.set()


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("converto_upload_events_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def count() -> Iterator[Callable[[str], float]]:
    """How often an outcome was counted since the test began."""
    before = {one: counted(one) for one in ("settled", "postponed", "unreadable", "broken")}
    yield lambda outcome: counted(outcome) - before[outcome]


async def test_reported_upload_is_converted_without_its_client(consumed: Consumed) -> None:
    conversion_id, key = await consumed.uploaded()
    consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()

    record = await consumed.system.record(conversion_id)
    assert (record.status, record.source_format, record.changes) == (Status.PENDING, "png", STARTED)


async def test_service_with_a_queue_consumes_it() -> None:
    events = MemoryUploadEvents(wait_s=0.005)
    async with running_system(upload_events=events) as system:
        consumed = Consumed(system)
        conversion_id, key = await consumed.uploaded()
        events.send(key)

        async def is_deleted() -> bool:
            return not events.waiting

        await system.until(is_deleted)

        assert await consumed.status(conversion_id) is Status.PENDING


async def test_duplicates_and_old_events_change_nothing_more(consumed: Consumed) -> None:
    conversion_id, key = await consumed.uploaded()
    for _ in range(30):
        consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()
        consumed.events.send(key)
        await consumed.until_settled()

        async def is_sent() -> bool:
            return (await consumed.system.record(conversion_id)).published > 0

        await consumed.system.until(is_sent)

    record = await consumed.system.record(conversion_id)
    assert (record.status, record.changes, record.published) == (Status.PENDING, STARTED, 1)
    assert consumed.system.bus.waiting(Family.IMAGE, Lane.NORMAL) == 1


@pytest.mark.parametrize(
    "key",
    ["t/anna/out/01890a5d-ac96-774b-bcce-b302099a8057/1/a.pdf", "logs/2026-11-29", "t/anna/in/no-id/1/source",
     source_key("anna", "01890a5d-ac96-774b-bcce-b302099a8057", 1)],
    ids=["output", "foreign", "no id", "unknown file"],
)  # fmt: skip
async def test_events_about_other_objects_are_deleted(consumed: Consumed, key: str) -> None:
    consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()

    assert consumed.events.dead_letters == []


async def test_message_without_keys_is_deleted(consumed: Consumed) -> None:
    """As the test event that S3 sends first."""
    consumed.events.send()
    async with consuming(consumed):
        await consumed.until_settled()


async def test_event_of_another_version_or_owner_is_not_used(consumed: Consumed) -> None:
    """I7: an event of older content never confirms newer content."""
    created = await consumed.system.announced(PNG, "a.png", "webp")
    file_id = created["file"]["id"]
    await consumed.system.objects.put(await consumed.key_of(created), PNG, content_type="image/png")
    consumed.events.send(source_key("anna", file_id, 2), source_key("berta", file_id, 1))
    async with consuming(consumed):
        await consumed.until_settled()

    assert await consumed.status(created["conversion"]["id"]) is Status.AWAITING_UPLOAD


async def test_event_of_a_deleted_file_is_deleted(consumed: Consumed) -> None:
    conversion_id, key = await consumed.uploaded()
    file_id = (await consumed.system.record(conversion_id)).file_id
    await consumed.system.api.delete(f"/api/v1/files/{file_id}")
    consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()

    file = await consumed.system.stores.files.get(file_id)
    assert file is not None
    assert file.status is FileStatus.DELETED


async def test_event_of_an_object_that_is_gone_is_deleted(consumed: Consumed) -> None:
    created = await consumed.system.announced(PNG, "a.png", "webp")
    consumed.events.send(await consumed.key_of(created))
    async with consuming(consumed):
        await consumed.until_settled()

    assert await consumed.status(created["conversion"]["id"]) is Status.AWAITING_UPLOAD


async def test_event_of_an_object_that_vanishes_is_deleted(
    consumed: Consumed, monkeypatch: pytest.MonkeyPatch, count: Callable[[str], float]
) -> None:
    """Somebody deletes it while its content is read, which is no bug and no outage."""
    conversion_id, key = await consumed.uploaded()
    objects = consumed.system.objects
    read_range = objects.read_range

    async def vanish(key: str, **place: Any) -> bytes:
        await objects.delete([key])
        return await read_range(key, **place)

    monkeypatch.setattr(objects, "read_range", vanish)
    consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()

    assert (count("settled"), count("broken")) == (1, 0)
    assert await consumed.status(conversion_id) is Status.AWAITING_UPLOAD


async def test_refused_upload_is_settled_and_explained_to_its_client(consumed: Consumed) -> None:
    """M5: whoever looks first, the client learns what is wrong, and may upload again."""
    conversion_id, key = await consumed.uploaded(body=PNG + b"more")
    consumed.events.send(key)
    async with consuming(consumed):
        await consumed.until_settled()
        file_id = (await consumed.system.record(conversion_id)).file_id
        answer = await consumed.system.api.post(f"/api/v1/files/{file_id}/uploaded")
        assert (answer.status_code, answer.json()["code"]) == (422, "size_mismatch")
        assert await consumed.system.objects.head(key) is not None
        await consumed.system.objects.put(key, PNG, content_type="image/png")
        consumed.events.send(key)
        await consumed.until_settled()

    assert await consumed.status(conversion_id) is Status.PENDING


async def test_unreadable_message_is_left_to_its_dead_letters(
    consumed: Consumed, count: Callable[[str], float]
) -> None:
    consumed.events.send(defect="not JSON")
    async with consuming(consumed):

        async def is_dead() -> bool:
            consumed.now_s += 61
            return bool(consumed.events.dead_letters)

        await consumed.system.until(is_dead)

    assert (count("unreadable"), count("settled")) == (3, 0)


async def test_bug_leaves_the_message_and_stops_nothing(consumed: Consumed, count: Callable[[str], float]) -> None:
    _, broken = await consumed.uploaded()
    sound_id, sound = await consumed.uploaded()
    file_id = (await consumed.system.record(sound_id)).file_id

    async def confirm(asked_id: str) -> None:
        if asked_id != file_id:
            raise ZeroDivisionError
        await consumed.system.service._confirm_upload(asked_id)

    consumed.events.send(broken)
    consumed.events.send(sound)
    async with consuming(consumed, confirm_upload=confirm):

        async def is_started() -> bool:
            return await consumed.status(sound_id) is Status.PENDING and len(consumed.events.waiting) == 1

        await consumed.system.until(is_started)

    assert [message.keys for message in consumed.events.waiting] == [(broken,)]
    assert count("broken") >= 1


@pytest.mark.parametrize("away", ["stores", "objects"])
async def test_event_waits_while_a_dependency_is_away(
    consumed: Consumed, away: str, count: Callable[[str], float]
) -> None:
    """C8: not deleted, and not delivered again and again until it is a dead letter."""
    conversion_id, key = await consumed.uploaded()
    server: Any = getattr(consumed.system, away)
    consumed.events.send(key)
    server.is_away = True
    async with consuming(consumed):

        async def is_postponed() -> bool:
            return count("postponed") == 1

        await consumed.system.until(is_postponed)
        consumed.now_s += FIRST_DELAY_S * 2  # visible, but not received while the dependency is away
        for _ in range(20):
            consumed.events.send(key)
        pauses = consumed.clock.pauses

        async def has_tried_again() -> bool:
            return consumed.clock.pauses > pauses + 3

        await consumed.system.until(has_tried_again)
        assert {message.deliveries for message in consumed.events.waiting} == {0, 1}
        server.is_away = False
        await consumed.until_settled()

    assert await consumed.status(conversion_id) is Status.PENDING
    assert consumed.events.dead_letters == []


async def test_event_waits_until_a_worker_has_registered(consumed: Consumed, count: Callable[[str], float]) -> None:
    """The file counts as uploaded by then; its conversion starts when the first worker has told what it can do."""
    conversion_id, key = await consumed.uploaded()
    await consumed.system.stores.workers.remove("w1")
    consumed.system.service.wiring.offers._read_at = float("-inf")
    consumed.events.send(key)
    async with consuming(consumed):

        async def is_postponed() -> bool:
            return count("postponed") == 1

        await consumed.system.until(is_postponed)
        record = await consumed.system.record(conversion_id)
        file = await consumed.system.stores.files.get(record.file_id)
        assert file is not None
        assert (record.status, file.status) == (Status.AWAITING_UPLOAD, FileStatus.UPLOADED)
        await consumed.system.put_worker()
        consumed.now_s += FIRST_DELAY_S
        await consumed.until_settled()

    assert await consumed.status(conversion_id) is Status.PENDING


async def test_postponed_message_is_hidden_longer_each_time(consumed: Consumed) -> None:
    _, key = await consumed.uploaded()
    calls = 0

    async def confirm(file_id: str) -> None:
        nonlocal calls
        calls += 1
        raise StoreUnavailable

    consumed.events.send(key)
    hidden_s = list[float]()
    async with consuming(consumed, confirm_upload=confirm):
        for delivery in range(1, 4):

            async def is_called(delivery: int = delivery) -> bool:
                return calls == delivery

            await consumed.system.until(is_called)
            (stored,) = consumed.events._stored.values()

            async def is_hidden(stored: Any = stored) -> bool:
                return bool(stored.visible_at_s - consumed.now_s != consumed.events.hidden_s)

            await consumed.system.until(is_hidden)
            hidden_s.append(stored.visible_at_s - consumed.now_s)
            consumed.now_s = stored.visible_at_s

    assert hidden_s == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]


async def test_slow_confirmation_keeps_its_message_hidden(consumed: Consumed) -> None:
    """It takes five times as long as a delivered message stays hidden, and is delivered once."""
    conversion_id, key = await consumed.uploaded()
    slow = asyncio.Event()

    async def confirm(file_id: str) -> None:
        await slow.wait()
        await consumed.system.service._confirm_upload(file_id)

    consumed.events.send(key)
    async with consuming(consumed, confirm_upload=confirm):
        for _ in range(10):
            extensions = len(consumed.clock.slept)

            async def is_extended(extensions: int = extensions) -> bool:
                return len(consumed.clock.slept) > extensions + 1

            await consumed.system.until(is_extended)
            consumed.now_s += consumed.events.hidden_s / 2
            assert await consumed.events.receive() == []  # by another service
        slow.set()
        await consumed.until_settled()

    assert await consumed.status(conversion_id) is Status.PENDING
    assert max(consumed.clock.slept) < consumed.events.hidden_s / 2


async def test_message_comes_again_if_it_cannot_be_deleted(consumed: Consumed) -> None:
    conversion_id, key = await consumed.uploaded()

    async def confirm(file_id: str) -> None:
        await consumed.system.service._confirm_upload(file_id)
        consumed.events.is_away = True

    consumed.events.send(key)
    async with consuming(consumed, confirm_upload=confirm):

        async def is_away() -> bool:
            return consumed.events.is_away

        await consumed.system.until(is_away)
    consumed.events.is_away = False
    consumed.now_s += consumed.events.hidden_s
    async with consuming(consumed):
        await consumed.until_settled()

    assert (await consumed.system.record(conversion_id)).changes == STARTED


async def test_stop_finishes_what_was_received(consumed: Consumed) -> None:
    conversion_id, key = await consumed.uploaded()
    stopping, entered = asyncio.Event(), asyncio.Event()

    async def confirm(file_id: str) -> None:
        entered.set()
        await stopping.wait()
        await consumed.system.service._confirm_upload(file_id)

    consumed.events.send(key)
    running = asyncio.create_task(consumed.consumer(confirm).run(stopping))
    async with asyncio.timeout(5):
        await entered.wait()
        stopping.set()
        await running

    assert await consumed.status(conversion_id) is Status.PENDING
    assert consumed.events.waiting == []


async def test_stop_ends_a_pause_at_once(consumed: Consumed) -> None:
    consumed.events.is_away = True
    stopping = asyncio.Event()
    consumer = UploadEventConsumer(
        consumed.events,
        consumed.system.stores.files,
        confirm_upload=consumed.system.service._confirm_upload,
        check_dependencies=consumed.system.service._check_dependencies,
    )
    running = asyncio.create_task(consumer.run(stopping))
    await asyncio.sleep(0)
    stopping.set()

    async with asyncio.timeout(1):
        await running


async def test_form_upload_keeps_hashes_if_its_event_is_faster(consumed: Consumed) -> None:
    """I2: the event of a form's object may be handled before the request has finished."""
    objects, confirm = consumed.system.objects, consumed.system.service._confirm_upload
    upload = objects.upload

    async def upload_and_report(path: Any, key: str, **how: Any) -> Any:
        digest = await upload(path, key, **how)
        await confirm(key.split("/")[3])
        return digest

    objects.upload = upload_and_report  # type: ignore[method-assign]
    answer = await consumed.system.api.post(
        "/api/v1/conversions", data={"target_format": "webp"}, files={"file": ("a.png", PNG, "image/png")}
    )

    assert answer.status_code == 201, answer.text
    file = await consumed.system.stores.files.get(answer.json()["file"]["id"])
    assert file is not None
    assert (file.status, len(file.sha256 or ""), len(file.sha512 or "")) == (FileStatus.UPLOADED, 64, 128)
