"""Parses requests (JSON bodies, queries, preferences), with invalid fields reported one by one."""

import re
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from converto_core.caller import Caller
from converto_core.errors import TooLarge
from file_service.http.idempotency import Answer, Idempotency, IdempotentRequest, Work
from file_service.http.problem_details import MEDIA_TYPE, FieldError, InvalidFields, MalformedRequest, request_id_of
from file_service.uploads.naming import is_id

ApiRequest = Request[Caller, Any, Any]
Body = TypeVar("Body", bound=msgspec.Struct)

JSON_LIMIT_BYTES = 64 * 1024
PARTS_LIMIT_BYTES = 1024 * 1024
"""A list of 10,000 parts with their ETags is about 700 KB."""
PREFIX = "/api/v1"

_PATH = re.compile(r"^(?P<message>.*?)(?: - at `(?P<where>\$.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`")


async def read_json(request: ApiRequest, kind: type[Body], *, limit_bytes: int = JSON_LIMIT_BYTES) -> Body:
    """Decode the body; an empty one counts as `{}`. Raises `TooLarge`, `MalformedRequest`, `InvalidFields`."""
    return decode(await _body(request, limit_bytes) or b"{}", kind)


def decode(untrusted_json: bytes | str, kind: type[Body], *, pointer: str = "") -> Body:
    """Decode JSON text; `pointer` is the location of the text within the request."""
    try:
        return msgspec.json.decode(untrusted_json, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidFields([_field_error(str(error), pointer)]) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MalformedRequest("The body is not valid JSON; check its syntax and that it is UTF-8") from error


def body_error(error: HTTPException, limit_text: str) -> Exception:
    """Translate the framework's error about a body; `limit_text` is the detail for one that is too large."""
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(limit_text)
    if error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return MalformedRequest("The connection ended before the whole body arrived; send the request again")
    return error


def convert(untrusted_fields: dict[str, Any], kind: type[Body]) -> Body:
    """Convert form or query fields; raises `InvalidFields`."""
    try:
        return msgspec.convert(untrusted_fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidFields([_field_error(str(error), "")]) from error


def query_of(request: ApiRequest, kind: type[Body]) -> Body:
    """Convert the query string; raises `InvalidFields` also for unknown and repeated names."""
    fields: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in fields:
            raise InvalidFields([FieldError(name, "must not be repeated")])
        fields[name] = value
    return convert(fields, kind)


def page_link(request: ApiRequest, base: str, next_id: str | None) -> dict[str, str]:
    """Return the `Link` header to the next page, if there is one."""
    if next_id is None:
        return {}
    query = {name: value for name, value in request.query_params.multi_items() if name != "after"} | {"after": next_id}
    path = request.url.path.rpartition("/")[2]
    return {"Link": f'<{base}/{path}?{urlencode(query)}>; rel="next"'}


def check_after(after: str | None) -> None:
    """Raise `InvalidFields` unless `after` is an id."""
    if after is not None and not is_id(after):
        raise InvalidFields([FieldError("after", "must be the `next` value of the previous page")])


def preferred_wait_s(request: ApiRequest, max_s: int) -> float:
    """Return the seconds of `Prefer: wait=N`, at most `max_s`; 0 if absent or invalid, as RFC 7240 requires."""
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value[:9]), max_s)
    return 0


async def answer_once(request: ApiRequest, idempotency: Idempotency, content: Any, work: Work) -> Response[Any]:
    """Serve a POST, or replay the response of an earlier request with the same Idempotency-Key."""
    identity = IdempotentRequest(
        owner=request.user.owner,
        path=request.url.path,
        request_id=request_id_of(request),
        key=request.headers.get("idempotency-key"),
    )
    return _response(await idempotency.once(identity, content, work))


def answer(status: int, body: msgspec.Struct, **rest: Any) -> Answer:
    """Return an answer with this body; `rest` are further fields of `Answer`."""
    return Answer(status=status, body=msgspec.json.encode(body), **rest)


def _response(answer: Answer) -> Response[bytes]:
    headers = dict(answer.headers)
    if answer.location is not None:
        headers["Location"] = answer.location
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    media_type = MEDIA_TYPE if answer.status >= 400 else "application/json"
    return Response(answer.body, status_code=answer.status, media_type=media_type, headers=headers)


async def _body(request: ApiRequest, limit_bytes: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise TooLarge(f"The body of this request may be at most {limit_bytes} bytes")
    except HTTPException as error:
        raise body_error(error, f"The body of this request may be at most {limit_bytes} bytes") from error
    return bytes(body)


def _field_error(message: str, pointer: str) -> FieldError:
    match = _PATH.match(message)
    where, text = (match["where"] or "$", match["message"]) if match else ("$", message)
    path = where[1:].replace("[...]", "").replace("[", ".").replace("]", "").replace(".", "/")
    if field := _FIELD.search(text):
        path = f"{path}/{field['name']}"
    return FieldError(f"{pointer}{path}" or "/", text)
