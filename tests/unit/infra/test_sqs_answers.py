"""What SQS, or whatever answers in its place, can send (C7): no answer ends more than its own message."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from converto_core.errors import UploadEventsUnavailable
from converto_core.ports.upload_events import UploadMessage
from converto_infra.resilience import upload_events_guard
from converto_infra.settings import Settings
from converto_infra.sqs.events import SqsUploadEvents

DEEP = '{"x":' + "[" * 20_000 + "]" * 20_000 + "}"
EMPTY = '{"Records": []}'


class Answering:
    """boto3's client of SQS, whose every call returns `answer` or raises it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

        return call


@pytest.fixture(scope="module")
def events() -> Iterator[SqsUploadEvents]:
    settings = Settings(s3_access_key_id="x", s3_secret_access_key=SecretStr("y"))
    yield (one := SqsUploadEvents(settings, "http://127.0.0.1:9/1/q", wait_s=1))
    one._calls.close()


def answer(events: SqsUploadEvents, answer: Any) -> None:
    events._queue.result()._sqs = Answering(answer)
    events.guard = upload_events_guard(Settings())  # a closed breaker for each test


def message(**fields: Any) -> dict[str, Any]:
    return {"MessageId": "m", "ReceiptHandle": "r", "Body": EMPTY, **fields}


@pytest.mark.parametrize(
    "damaged",
    [
        message(Body=DEEP),
        message(Body="\ud800"),
        message(Body=None),
        {"MessageId": "m", "ReceiptHandle": "r"},
        {"MessageId": "m", "Body": EMPTY},
        {},
        "m",
        message(Attributes={"ApproximateReceiveCount": "often"}),
        message(Attributes={"ApproximateReceiveCount": "9" * 5000}),
        message(Attributes=[]),
    ],
    ids=["deep", "surrogate", "null", "no body", "no receipt", "empty", "text", "no number", "huge", "no attributes"],
)
async def test_unreadable_message_spoils_no_other(events: SqsUploadEvents, damaged: Any) -> None:
    answer(events, {"Messages": [damaged, message(Attributes={"ApproximateReceiveCount": "3"})]})

    first, second = await events.receive()

    assert first.defect
    assert first.keys == ()
    assert (second.defect, second.deliveries) == ("", 3)


async def test_empty_list_may_be_null(events: SqsUploadEvents) -> None:
    answer(events, {"Messages": None})

    assert await events.receive() == []


@pytest.mark.parametrize(
    "unexpected",
    [[], None, {"Messages": 5}, AttributeError("botocore: 'list' object has no attribute 'get'"), RecursionError()],
    ids=repr,
)
async def test_unreadable_answer_counts_as_unavailable(events: SqsUploadEvents, unexpected: Any) -> None:
    """botocore parses answers without a check and raises what Python raises."""
    answer(events, unexpected)

    with pytest.raises(UploadEventsUnavailable, match="queue of upload events"):
        await events.receive()


async def test_unexpected_error_of_other_calls_counts_as_unavailable(events: SqsUploadEvents) -> None:
    answer(events, TypeError("unreadable"))
    one = UploadMessage(id="m", receipt="r")
    for call in (events.delete([one]), events.hide(one, seconds=1)):
        with pytest.raises(UploadEventsUnavailable):
            await call
