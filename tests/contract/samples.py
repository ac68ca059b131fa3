"""Sample records, messages and events, and a client for presigned requests."""

from typing import Any

import httpx2

from converto_core.conversion.record import Conversion, Lane, Output, Status, Step
from converto_core.events import ConversionCreated, ConversionEvent
from converto_core.files.record import File
from converto_core.formats import Family
from converto_core.ids import new_id
from converto_core.ports.objects import ObjectStore, PresignedRequest
from converto_infra.memory.objects import Answer
from converto_infra.memory.stores import MemoryObjectStore, MemoryStores
from converto_infra.mongo.stores import MongoStores

Stores = MemoryStores | MongoStores
NOW_MS = 1_760_000_000_000
PLAN = (Step("libreoffice", "pptx", "pdf"), Step("pdfium", "pdf", "png"))
OUTPUT = Output(
    key="t/ann/out/1/1/deck.pdf",
    filename="deck – Übersicht.pdf",
    content_type="application/pdf",
    size_bytes=5_000_000_000,
    sha256="a" * 64,
    sha512="b" * 128,
)


def a_conversion(**fields: Any) -> Conversion:
    """A conversion in status `awaiting_upload`."""
    start: dict[str, Any] = {
        "id": new_id(),
        "owner": "ann",
        "file_id": new_id(),
        "filename": "deck – Übersicht.pptx",
        "target_format": "pdf",
        "options": {"quality": 82, "pages": "1-3", "nested": {"scale": 0.5, "names": ["a", "b"]}},
        "created_at": NOW_MS,
        "updated_at": NOW_MS,
    }
    return Conversion(**{**start, **fields})


def a_pending_conversion(**fields: Any) -> Conversion:
    """A pending conversion whose message is due."""
    start: dict[str, Any] = {
        "status": Status.PENDING,
        "source_format": "pptx",
        "plan": PLAN,
        "family": Family.OFFICE,
        "publish_due": NOW_MS,
    }
    return a_conversion(**{**start, **fields})


def a_running_conversion(**fields: Any) -> Conversion:
    """A conversion that a worker is processing with token 1."""
    start: dict[str, Any] = {"status": Status.PROCESSING, "token": 1, "beat": 1, "attempt": 1, "worker": "w1"}
    return a_pending_conversion(**{**start, "publish_due": None, **fields})


def a_file(**fields: Any) -> File:
    """A file in status `awaiting_upload`."""
    start: dict[str, Any] = {
        "id": new_id(),
        "owner": "ann",
        "filename": "deck.pptx",
        "extension": "pptx",
        "size_bytes": 12,
        "key": "t/ann/in/1/1/source",
        "created_at": NOW_MS,
        "updated_at": NOW_MS,
    }
    return File(**{**start, **fields})


def a_message(
    conversion_id: str, *, family: Family = Family.OFFICE, lane: Lane = Lane.NORMAL, token: int = 0
) -> ConversionCreated:
    """The message for a pending conversion."""
    return ConversionCreated(id=conversion_id, token=token, family=family, lane=lane, trace="00-abc-def-01")


def an_event(conversion_id: str, *, percent: float = 0.0) -> ConversionEvent:
    """The event of a conversion in progress."""
    return ConversionEvent(
        id=conversion_id,
        owner="ann",
        file_id="f",
        status=Status.PROCESSING,
        percent=percent,
        token=1,
        beat=1,
        at=NOW_MS,
    )


async def send(
    store: ObjectStore,
    request: PresignedRequest,
    body: bytes = b"",
    *,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a presigned request as a client does, to the server in its URL."""
    if isinstance(store, MemoryObjectStore):
        return await store.send(request, body, headers=headers)
    async with httpx2.AsyncClient(timeout=10) as client:
        answer = await client.request(
            request.method, request.url, headers=request.headers if headers is None else headers, content=body
        )
    return Answer(status=answer.status_code, headers=dict(answer.headers), body=answer.content)
