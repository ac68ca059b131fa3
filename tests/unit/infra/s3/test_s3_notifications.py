"""Reading what S3 writes into the queue (C7): both forms, the test event, and bodies that are neither."""

import json
from typing import Any

import pytest

from converto_infra.sqs.notification import Unreadable, created_keys

KEY = "t/ann+bob/in/01890a5d-ac96-774b-bcce-b302099a8057/1/source"


def s3_record(key: str, *, event: str = "ObjectCreated:Put", bucket: str = "converto") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 5, "eTag": "0", "versionId": "v1", "sequencer": "0055"},
        },
    }


def body_of(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


def eventbridge(key: str, *, kind: str = "Object Created", bucket: str = "converto") -> str:
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 5}, "reason": "PutObject"}
    return json.dumps({"version": "0", "id": "1", "detail-type": kind, "source": "aws.s3", "detail": detail})


@pytest.mark.parametrize("event", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
def test_every_way_to_create_an_object_counts(event: str) -> None:
    assert created_keys(body_of(s3_record("a/b", event=f"ObjectCreated:{event}")), bucket="converto") == ("a/b",)


def test_keys_in_s3_records_are_decoded() -> None:
    """S3 encodes keys as an HTML form does: `+` is a space and `%2B` a plus."""
    body = body_of(s3_record("t/ann%2Bbob/in/01890a5d-ac96-774b-bcce-b302099a8057/1/source"), s3_record("a+%C3%A4"))

    assert created_keys(body, bucket="converto") == (KEY, "a ä")


def test_keys_in_eventbridge_events_are_taken_as_they_are() -> None:
    assert created_keys(eventbridge(KEY), bucket="converto") == (KEY,)
    assert created_keys(eventbridge("a%2Bb+c"), bucket="converto") == ("a%2Bb+c",)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "converto", "RequestId": "1"}),
        body_of(s3_record(KEY, event="ObjectRemoved:DeleteMarkerCreated")),
        body_of(s3_record(KEY, bucket="another")),
        body_of(),
        eventbridge(KEY, bucket="another"),
        eventbridge(KEY, kind="Object Deleted"),
        json.dumps({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}),
    ],
    ids=["test event", "removed", "other bucket", "no record", "bridge bucket", "bridge deleted", "bridge other"],
)
def test_messages_about_something_else_have_no_keys(body: str) -> None:
    assert created_keys(body, bucket="converto") == ()


@pytest.mark.parametrize(
    "body",
    ["", "not JSON", "[]", "{}", '{"Records": 5}', '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
     '{"detail-type": "Object Created", "detail": {"bucket": {}}}', '{"Event": "s3:Unheard"}',
     '{"detail-type": "Object Created"}', '{"x":' + "[" * 20_000 + "]" * 20_000 + "}", '{"Event": "\ud800"}',
     '{"detail-type": "Object Created", "detail":' + '{"bucket":' * 20_000 + "1" + "}" * 20_001],
    ids=lambda body: body[:30].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_other_bodies_are_unreadable(body: str) -> None:
    with pytest.raises(Unreadable):
        created_keys(body, bucket="converto")
