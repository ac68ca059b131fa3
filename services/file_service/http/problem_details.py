"""Turns every error into `application/problem+json` (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import HTTPScope, Send

from converto_core.errors import (
    ConvertoError,
    DependencyUnavailable,
    Forbidden,
    InvalidRequest,
    Overloaded,
    RequestInFlight,
    TooManyPending,
    Unauthorized,
)
from file_service.http.challenges import challenge_of

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""`Retry-After` for a dependency that is away, unless its error says how long to wait."""

_RENAMED_PHRASES = {413: "Request Entity Too Large", 414: "Request-URI Too Long", 422: "Unprocessable Entity"} | {
    416: "Requested Range Not Satisfiable"
}
"""Python 3.13 gave these statuses other phrases; what the API says does not depend on its Python."""

log = structlog.get_logger()


class FieldError(msgspec.Struct, frozen=True):
    """One invalid field: a JSON Pointer into the body, or the name of a header, query or form field."""

    pointer: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error for programs (`code`, `retryable`) and for people (`detail`)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    request_id: str
    errors: list[FieldError] = []


class InvalidFields(InvalidRequest):
    """Raised for invalid fields; lists each of them."""

    def __init__(self, errors: list[FieldError], message: str | None = None) -> None:
        """`message` defaults to the first error's."""
        super().__init__(message or f"{errors[0].pointer}: {errors[0].message}")
        self.errors = errors


class MalformedRequest(InvalidRequest):
    """Raised when the body is not valid JSON or not a valid form."""

    code = "malformed_request"
    title = "The request body cannot be read"
    http_status = 400


class MalformedId(InvalidRequest):
    """Raised when an id in the path is not a UUID."""

    code = "malformed_id"
    title = "The id is malformed"
    http_status = 400


def problem_of(error: Exception, *, instance: str, request_id: str) -> Problem:
    """Return the problem for any exception; unexpected exceptions reveal no details."""
    status, code, title, detail = _status_code_title_detail(error)
    return Problem(
        type=f"urn:converto:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        retryable=error.retryable if isinstance(error, ConvertoError) else False,
        request_id=request_id,
        errors=_field_errors(error),
    )


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers for an error: `Retry-After`, `WWW-Authenticate` or `Allow`."""
    if isinstance(error, DependencyUnavailable | Overloaded | TooManyPending):
        return {"Retry-After": str(max(1, round(getattr(error, "retry_after_s", RETRY_AFTER_S) or RETRY_AFTER_S)))}
    if isinstance(error, RequestInFlight):
        return {"Retry-After": "1"}
    if isinstance(error, Unauthorized | Forbidden):
        return {"WWW-Authenticate": challenge_of(error)}
    if isinstance(error, HTTPException):
        return {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return {}


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Handle every exception that leaves a route."""
    problem = problem_of(error, instance=request.url.path, request_id=request_id_of(request))
    _log(error, problem)
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers_of(error)
    )


async def send_problem(error: ConvertoError, scope: HTTPScope, send: Send) -> None:
    """Send the whole response for an error of a middleware, which no exception handler sees."""
    problem = problem_of(error, instance=scope["path"], request_id=str(scope.get("request_id", "")))
    body = msgspec.json.encode(problem)
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **headers_of(error)}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.http_status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def request_id_of(request: Request[Any, Any, Any]) -> str:
    """Return the id that `RequestMiddleware` gave to this request."""
    return str(request.scope.get("request_id", ""))


def problem_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Return OpenAPI responses for these statuses, and for 401, 403, 500 and 503, which every route may return."""
    return {
        status: ResponseSpec(Problem, description=phrase_of(status), media_type=MEDIA_TYPE, generate_examples=False)
        for status in sorted({401, 403, 500, 503, *statuses})
    }


def phrase_of(status: int) -> str:
    """Return the words for an HTTP status."""
    return _RENAMED_PHRASES.get(status) or HTTPStatus(status).phrase


def _status_code_title_detail(error: Exception) -> tuple[int, str, str, str]:
    if isinstance(error, ConvertoError):
        return error.http_status, error.stable_code, type(error).title, error.public_message
    if isinstance(error, ValidationException):
        return 422, InvalidRequest.code, InvalidRequest.title, error.detail
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_http_error(error)
    return (
        500,
        ConvertoError.code,
        ConvertoError.title,
        "An unexpected error occurred. Try again; if it persists, report the request_id",
    )


def _of_http_error(error: HTTPException) -> tuple[int, str, str, str]:
    match error.status_code:
        case 400:
            return 400, MalformedRequest.code, MalformedRequest.title, error.detail
        case 404:
            return 404, "not_found", "There is no such resource", "No route has this path; see /api/docs for all routes"
        case 405:
            return 405, "method_not_allowed", "This method is not allowed", error.detail
        case 413:
            return (
                413,
                "too_large",
                "The request is too large",
                "The body is larger than this route accepts; see /api/docs for its limits",
            )
    return error.status_code, "bad_request", phrase_of(error.status_code), error.detail


def _field_errors(error: Exception) -> list[FieldError]:
    if isinstance(error, ValidationException):
        return [_litestar_error(entry) for entry in error.extra] if isinstance(error.extra, list) else []
    return [_as_field_error(entry) for entry in getattr(error, "errors", ())]


def _as_field_error(entry: Any) -> FieldError:
    if isinstance(entry, FieldError):
        return entry
    pointer, message = entry
    return FieldError(str(pointer), str(message))


def _litestar_error(entry: Any) -> FieldError:
    return FieldError(str(entry.get("key", "")), str(entry.get("message", "")))


def _log(error: Exception, problem: Problem) -> None:
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request.crashed", request_id=problem.request_id, path=problem.instance, exc_info=error)
    elif problem.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = getattr(error, "detail", "")
        log.warning("request.refused", request_id=problem.request_id, code=problem.code, detail=detail)
