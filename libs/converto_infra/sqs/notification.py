"""Reads what S3 writes into a queue: its own event records, or an EventBridge event.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from urllib.parse import unquote_plus

import msgspec

CREATED = "ObjectCreated:"
"""Put, Post, Copy and CompleteMultipartUpload all make an object."""
TEST_EVENT = "s3:TestEvent"
"""S3 sends it once when the notification is set up."""
CREATED_BY_EVENTBRIDGE = "Object Created"


class Unreadable(Exception):
    """Raised for a body that is neither of the two forms; says why."""


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str


class _Place(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, rename={"event_name": "eventName"}):
    event_name: str
    s3: _Place


class _Body(msgspec.Struct, rename={"records": "Records", "event": "Event", "detail_type": "detail-type"}):
    records: list[_Record] | None = None
    event: str | None = None
    detail_type: str | None = None
    detail: msgspec.Raw = msgspec.Raw(b"null")


def created_keys(body: str, *, bucket: str) -> tuple[str, ...]:
    """Return the keys of the bucket's new objects, none if the message is about something else; raises `Unreadable`."""
    try:
        found = msgspec.json.decode(body, type=_Body)
        if found.records is not None:
            places = [one.s3 for one in found.records if one.event_name.removeprefix("s3:").startswith(CREATED)]
            # In this form, and only in this one, keys are encoded as in an HTML form.
            return tuple(unquote_plus(one.object.key) for one in places if one.bucket.name == bucket)
        if found.detail_type == CREATED_BY_EVENTBRIDGE:
            place = msgspec.json.decode(found.detail, type=_Place)
            return (place.object.key,) if place.bucket.name == bucket else ()
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # the first also of a missing or wrong field
        raise Unreadable(str(error)) from error
    if found.event == TEST_EVENT or found.detail_type is not None:
        return ()
    raise Unreadable("neither an event of S3 nor one of EventBridge")
