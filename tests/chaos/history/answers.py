"""What the journal keeps of an answer: the conversions it tells of, their outputs, the bytes' hash."""

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2
import msgspec

from tests.chaos.history.call import Told, ToldObject, told_of
from tests.chaos.history.requests import object_key

EVENT_STREAM = "text/event-stream"


class Answer:
    """Takes the bytes of one answer as they arrive."""

    def __init__(self, response: httpx2.Response, *, is_object: bool) -> None:
        """`is_object` means that the object store answers: its bytes are hashed and not kept."""
        self._response, self._is_object = response, is_object
        self._hash, self._body = hashlib.sha256(), bytearray()
        self._is_stream = response.headers.get("content-type", "").startswith(EVENT_STREAM)

    def take(self, chunk: bytes) -> Iterator[Told]:
        """Take the next bytes; yield the conversions of the events that are complete with them."""
        if self._is_object:
            self._hash.update(chunk)
            return
        self._body += chunk
        if self._is_stream:
            yield from self._events()

    def fields(self) -> dict[str, Any]:
        """Return the fields of `Ended` when all bytes have arrived."""
        headers, status = self._response.headers, self._response.status_code
        found: dict[str, Any] = {"status": status, "is_replayed": "idempotent-replayed" in headers}
        if self._is_object:
            return found | {"sha256": self._hash.hexdigest()}
        if self._is_stream or not self._body:
            return found
        body = self._json()
        return found | ({"code": body.get("code")} if status >= 400 else _told_by(body))

    def _json(self) -> dict[str, Any]:
        whole = httpx2.Response(200, headers=self._response.headers, content=bytes(self._body))
        try:
            body = msgspec.json.decode(whole.content)
        except msgspec.DecodeError:
            return {}
        return body if isinstance(body, dict) else {}

    def _events(self) -> Iterator[Told]:
        while (end := self._body.find(b"\n\n")) >= 0:
            event = bytes(self._body[:end])
            del self._body[: end + 2]
            for line in event.splitlines():
                if line.startswith(b"data: {"):
                    yield told_of(msgspec.json.decode(line.removeprefix(b"data: ")))


def _told_by(body: dict[str, Any]) -> dict[str, Any]:
    """Return what one of the API's bodies says: a conversion, a list of them, a new one, a confirmed file, outputs."""
    conversions = [body] if "target_format" in body else body.get("conversions") or []
    if "conversion" in body:
        conversions = [body["conversion"]]
    file = body.get("file") or {}
    return {
        "told": tuple(told_of(one) for one in conversions),
        "file_id": file.get("id"),
        "next": body.get("next"),
        "objects": tuple(_objects(body)) if "target_format" not in body else (),
    }


def _objects(body: dict[str, Any]) -> Iterator[ToldObject]:
    for output in body.get("outputs") or ():
        if key := object_key(unquote(urlsplit(output.get("url", "")).path)):
            yield ToldObject(key, output["sha256"])
