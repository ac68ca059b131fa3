"""The contract of `UploadEvents` (C7), and what only the adapter of SQS does. moto plays SQS."""

import json
from collections.abc import AsyncIterator, Callable

import pytest

from converto_core.errors import UploadEventsUnavailable
from converto_core.ports.upload_events import UploadEvents, UploadMessage
from converto_infra.memory.stores import MemoryUploadEvents
from converto_infra.sqs.events import SqsUploadEvents
from tests.aws import ReportedBucket
from tests.contract.conftest import IMPLEMENTATIONS

MOST_DELIVERIES = 3
KEY = "t/ann/in/01890a5d-ac96-774b-bcce-b302099a8057/1/source"
Send = Callable[[str], None]


class Queue:
    """An empty queue, with a way to put messages about a key into it and to count its dead letters."""

    def __init__(self, events: UploadEvents, send: Send, count_dead: Callable[[], int]) -> None:
        self.events, self.send, self.count_dead = events, send, count_dead

    async def receive_one(self) -> UploadMessage:
        (message,) = await self.events.receive()
        return message


@pytest.fixture(params=IMPLEMENTATIONS)
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    if request.param == "memory":
        twin = MemoryUploadEvents(max_deliveries=MOST_DELIVERIES)
        yield Queue(twin, twin.send, lambda: len(twin.dead_letters))
        return
    bucket = ReportedBucket(request.getfixturevalue("aws"), max_deliveries=MOST_DELIVERIES)
    real = SqsUploadEvents(bucket.settings(), bucket.queue_url, wait_s=1)

    def send(key: str) -> None:
        place = {"bucket": {"name": bucket.bucket}, "object": {"key": key}}
        bucket.send(json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": place}]}))

    yield Queue(real, send, lambda: bucket.count(bucket.dead_url))
    await real.close()


async def test_message_is_delivered_with_its_keys(queue: Queue) -> None:
    queue.send(KEY)

    message = await queue.receive_one()

    assert (message.keys, message.deliveries, message.defect) == ((KEY,), 1, "")
    assert queue.events.hidden_s >= 30


async def test_empty_queue_delivers_nothing_after_a_while(queue: Queue) -> None:
    assert await queue.events.receive() == []


async def test_delivered_message_is_hidden_from_others(queue: Queue) -> None:
    queue.send(KEY)
    await queue.receive_one()

    assert await queue.events.receive() == []


async def test_deleted_message_never_comes_again(queue: Queue) -> None:
    queue.send(KEY)
    message = await queue.receive_one()
    await queue.events.hide(message, seconds=0)
    again = await queue.receive_one()
    await queue.events.delete([again])
    await queue.events.delete([again])  # a repeated delete, as after a lost answer

    assert await queue.events.receive() == []


async def test_unhidden_message_comes_again_and_counts(queue: Queue) -> None:
    queue.send(KEY)
    first = await queue.receive_one()
    await queue.events.hide(first, seconds=0)

    second = await queue.receive_one()

    assert (second.id, second.keys, second.deliveries) == (first.id, first.keys, 2)
    assert second.receipt != first.receipt


async def test_message_of_too_many_deliveries_becomes_a_dead_letter(queue: Queue) -> None:
    queue.send(KEY)
    for _ in range(MOST_DELIVERIES):
        await queue.events.hide(await queue.receive_one(), seconds=0)

    assert await queue.events.receive() == []
    assert queue.count_dead() == 1


async def test_hiding_a_deleted_message_does_nothing(queue: Queue) -> None:
    queue.send(KEY)
    message = await queue.receive_one()
    await queue.events.delete([message])

    await queue.events.hide(message, seconds=60)

    assert await queue.events.receive() == []


async def test_many_messages_come_in_batches(queue: Queue) -> None:
    keys = {f"t/ann/in/01890a5d-ac96-774b-bcce-b302099a80{number}/1/source" for number in range(10, 35)}
    for key in sorted(keys):
        queue.send(key)
    seen = list[str]()
    for _ in range(20):
        messages = await queue.events.receive()
        assert len(messages) <= 10
        seen += [key for message in messages for key in message.keys]
        await queue.events.delete(messages) if messages else None
        if len(seen) >= len(keys):
            break

    assert sorted(seen) == sorted(keys)


# Only SQS


async def test_unreadable_body_is_delivered_with_its_defect(aws: str) -> None:
    bucket = ReportedBucket(aws)
    events = SqsUploadEvents(bucket.settings(), bucket.queue_url, wait_s=1)
    bucket.send("<xml/>")

    (message,) = await events.receive()

    assert message.keys == ()
    assert "JSON" in message.defect
    await events.close()


async def test_missing_queue_counts_as_unavailable(aws: str) -> None:
    bucket = ReportedBucket(aws)
    events = SqsUploadEvents(bucket.settings(breaker_failures=2), f"{bucket.queue_url}-gone", wait_s=1)
    for _ in range(2):
        with pytest.raises(UploadEventsUnavailable, match="queue of upload events"):
            await events.receive()

    assert events.guard.state == "open"
    await events.close()


async def test_server_that_is_away_counts_as_unavailable(aws: str) -> None:
    settings = ReportedBucket(aws).settings()
    events = SqsUploadEvents(settings, "http://127.0.0.1:9/123456789012/name", wait_s=1)
    message = UploadMessage(id="1", receipt="r")
    for call in (events.receive(), events.delete([message]), events.hide(message, seconds=1)):
        with pytest.raises(UploadEventsUnavailable):
            await call

    await events.close()


def test_no_queue_in_the_settings_means_no_events(aws: str) -> None:
    settings = ReportedBucket(aws).settings(upload_events_queue_url=None)

    assert SqsUploadEvents.connect(settings) is None
