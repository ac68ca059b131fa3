"""Messages and events: round trip, versions, sizes and names."""

import msgspec
import pytest

from converto_core.conversion.record import Lane, Status
from converto_core.events import (
    EVENT_KEYS,
    ConversionCreated,
    UnreadableEvent,
    conversion_created,
    conversion_event,
    decode,
    encode,
    queue_name,
)
from converto_core.formats import Family
from tests.contract.samples import a_conversion, a_message, a_pending_conversion, a_running_conversion, an_event


@pytest.mark.parametrize("event", [a_message("one", token=3), an_event("one", percent=12.5)])
def test_event_round_trips(event: ConversionCreated) -> None:
    assert decode(encode(event)) == event


def test_event_with_an_unknown_field_is_readable() -> None:
    body = encode(a_message("one")).replace(b'"token":0', b'"token":0,"invented_later":[1]')

    assert decode(body) == a_message("one")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"not json",
        b'{"type":"something_else"}',
        b'{"type":"conversion_created","id":"x"}',
        b'{"type":"conversion_created","id":"x","token":"1","family":"office","lane":"normal"}',
        b'{"type":"conversion_created","id":"x","token":1,"family":"opera","lane":"normal"}',
        encode(msgspec.structs.replace(a_message("one"), v=2)),
        encode(a_message("one", token=-1)),
        encode(a_message("one", token=2**64)),
        encode(a_message("x" * 65)),
        encode(a_message("one"))[:-1] + b',"invented_later":' + b"[" * 100_000,
    ],
)
def test_unknown_body_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        decode(body)


def test_message_carries_token_lane_and_family() -> None:
    """C4: routing key by lane and family."""
    pending = a_pending_conversion(token=4, lane=Lane.HIGH, family=Family.PDF, trace="t")

    event = conversion_created(pending)

    assert (event.id, event.token, event.trace) == (pending.id, 4, "t")
    assert event.routing_key == "conversion_created.high.pdf"
    assert event.message_id == f"{pending.id}:4"
    assert len(encode(event)) < 1024


def test_message_needs_a_plan() -> None:
    with pytest.raises(ValueError, match="no plan"):
        conversion_created(a_conversion())


@pytest.mark.parametrize("status", Status)
def test_routing_key_of_an_event_names_the_status(status: Status) -> None:
    event = conversion_event(a_running_conversion(status=status, stage="converting", client_id="pi"))

    assert event.routing_key in EVENT_KEYS
    assert (event.status, event.stage, event.client_id) == (status, "converting", "pi")
    assert len(encode(event)) < 1024


def test_each_status_has_its_own_event_key() -> None:
    assert len(set(EVENT_KEYS)) == len(Status)


def test_queue_name_is_family_then_lane() -> None:
    assert queue_name(Family.OFFICE, Lane.QUARANTINE) == "conversions.office.quarantine"
