"""Builds the OpenAPI description: Litestar's own, completed with bodies, queries, headers and security."""

from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.routes import HTTPRoute

from converto_core.caller import Scope
from file_service.http.requests import PREFIX
from file_service.http.routes.catalogue import FormatsQuery
from file_service.http.routes.conversions import ConversionPage
from file_service.http.routes.dead_letters import DeadLetterPage
from file_service.http.routes.events import EventsQuery
from file_service.http.routes.files import FilePage
from file_service.http.routes.outputs import OutputQuery
from file_service.http.schemas.catalogue import NewPlan
from file_service.http.schemas.conversions import FormFields, NewConversion, Retry
from file_service.http.schemas.dead_letters import DeadLetterChoice
from file_service.http.schemas.fields import Nothing
from file_service.http.schemas.files import NewFile, PartNumbers, Uploaded
from file_service.http.scopes import scope_of

SNAPSHOT: Final = Path(__file__).with_name("openapi.json")
"""Kept in the repository, so that reviews show every change of the API; a test checks that it is current."""
CONFIG: Final = OpenAPIConfig(
    title="converto",
    version="1.0.0",
    description=(
        "Convert files: create a conversion, upload the source file directly to the object store, follow the "
        "conversion, download the outputs. Errors are problem+json (RFC 9457) with a stable `code`. POST requests that "
        "store something may carry an `Idempotency-Key`, which makes repeating them safe."
    ),
    operation_id_creator=lambda handler, _method, _path: handler.handler_name,
    use_handler_docstrings=True,
)

_BODIES: Final[dict[str, type[msgspec.Struct]]] = {
    "create_file": NewFile,
    "refresh_upload": Nothing,
    "presign_parts": PartNumbers,
    "confirm_upload": Uploaded,
    "create_conversion": NewConversion,
    "make_plan": NewPlan,
    "cancel_conversion": Nothing,
    "retry_conversion": Retry,
    "requeue_parked": Nothing,
    "requeue_many_parked": DeadLetterChoice,
    "drop_many_parked": DeadLetterChoice,
}
_QUERIES: Final[dict[str, type[msgspec.Struct]]] = {
    "list_files": FilePage,
    "list_conversions": ConversionPage,
    "get_output": OutputQuery,
    "list_formats": FormatsQuery,
    "list_parked": DeadLetterPage,
    "follow_all": EventsQuery,
}
_HEADERS: Final = {
    "get_conversion": [
        ("If-None-Match", "The ETag of an earlier response; 304 if nothing has changed"),
        ("Prefer", "`wait=20` responds when the conversion has ended, or after 20 seconds"),
    ],
    "follow_conversion": [("Last-Event-ID", "The id of the last event you received")],
    "follow_all": [("Last-Event-ID", "If given, the snapshot also holds conversions that ended lately")],
}
_IDEMPOTENT_POST: Final = [
    ("Idempotency-Key", "A repeated request with the same key gets the same response for 24 hours")
]
_DRY_RUNS: Final = {"make_plan"}
"""POST requests that store nothing. A stored answer would block its key for the owner's other callers."""
_REFERENCE: Final = "#/components/schemas/{name}"
_ID: Final = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"
_EXAMPLES: Final[dict[str, Any]] = {
    "create_file": {"filename": "deck.pptx", "size_bytes": 48213},
    "refresh_upload": {},
    "presign_parts": {"part_numbers": [1, 2, 3]},
    "confirm_upload": {},
    "create_conversion": {
        "target_format": "pdf",
        "file": {"filename": "deck.pptx", "size_bytes": 48213},
        "client_id": "foyer",
    },
    "make_plan": {"target_format": "png", "filename": "deck.pptx", "options": {"dpi": 100}},
    "cancel_conversion": {},
    "retry_conversion": {},
    "requeue_parked": {},
    "requeue_many_parked": {"reason": "delivery_limit"},
    "drop_many_parked": {"reason": "unreadable"},
}
_PROBLEM_EXAMPLE: Final = {
    "type": "urn:converto:problem:unsupported_conversion",
    "title": "This conversion is not supported",
    "status": 422,
    "detail": "pptx cannot be converted to mp3 here. Possible: pdf, png, webp, jpg",
    "instance": "/api/v1/conversions",
    "code": "unsupported_conversion",
    "retryable": False,
    "request_id": "5c1f0a9be7d04a55b1f3a8d3c0f8e2aa",
    "errors": [],
}
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A converto API key (cvt_…)"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "access_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the configured OpenID Connect issuer, with the scope of the route",
    },
}


def describe(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of an application built with `CONFIG`."""
    description: dict[str, Any] = app.openapi_schema.to_schema()
    schemas, components = msgspec.json.schema_components(list(_BODIES.values()), ref_template=_REFERENCE)
    references = dict(zip(_BODIES, schemas, strict=True))
    known = description["components"]["schemas"]
    known.update({name: schema for name, schema in components.items() if name not in known})
    known["Problem"]["examples"] = [_PROBLEM_EXAMPLE]
    description["components"]["securitySchemes"] = _SECURITY
    scopes = _scopes(app)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation, references)
            if path.startswith(f"{PREFIX}/"):
                operation["security"] = _security(scopes[operation["operationId"]])
    return description


def _scopes(app: Litestar) -> dict[str, Scope | None]:
    """Return the scope of each route by its operation id."""
    handlers = [handler for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers]
    return {
        handler.operation_id if isinstance(handler.operation_id, str) else handler.handler_name: scope_of(
            handler, min(handler.http_methods)
        )
        for handler in handlers
    }


def _security(scope: Scope | None) -> list[dict[str, list[str]]]:
    """API keys have no scopes of their own: they may read and write, and administrators' keys may do all."""
    return [{name: [scope] if scope and name == "access_token" else []} for name in _SECURITY]


def _complete(path: str, method: str, operation: dict[str, Any], references: dict[str, Any]) -> None:
    name = operation["operationId"]
    parameters = [*operation.get("parameters", []), *_query_parameters(name)]
    headers = [*_HEADERS.get(name, []), *(_IDEMPOTENT_POST if method == "post" and name not in _DRY_RUNS else [])]
    operation["parameters"] = [_with_format(one) for one in parameters] + [_header(*header) for header in headers]
    if name in references:
        operation["requestBody"] = _request_body(name, references[name])
    if path in {"/api/health", "/api/health/ready"}:
        operation["responses"]["503"] = {**operation["responses"]["200"], "description": "A dependency is unavailable"}
    if operation["responses"].get("307"):
        operation["responses"]["307"] = {
            "description": "Redirect to a presigned URL",
            "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
        }
    if name == "get_conversion":
        operation["responses"]["304"] = {"description": "Not modified"}


def _request_body(name: str, reference: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": reference, "example": _EXAMPLES[name]}}
    if name == "create_conversion":
        content["multipart/form-data"] = {"schema": _form_schema()}
    is_required = name in {"create_file", "presign_parts", "create_conversion"}
    return {"content": content, "required": is_required}


def _form_schema() -> dict[str, Any]:
    (reference,), components = msgspec.json.schema_components([FormFields], ref_template="{name}")
    schema: dict[str, Any] = components[reference["$ref"]]
    properties = {"file": {"type": "string", "format": "binary"}, **schema["properties"]}
    properties["options"] = {"type": "string", "description": "The options as JSON text", "default": "{}"}
    return {**schema, "properties": properties, "required": ["file", "target_format"]}


def _query_parameters(name: str) -> list[dict[str, Any]]:
    if name not in _QUERIES:
        return []
    _, components = msgspec.json.schema_components([_QUERIES[name]], ref_template=_REFERENCE)
    properties = components[_QUERIES[name].__name__]["properties"]
    return [{"name": field, "in": "query", "required": False, "schema": schema} for field, schema in properties.items()]


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


def _with_format(parameter: dict[str, Any]) -> dict[str, Any]:
    if parameter["in"] != "path":
        return parameter
    if parameter["name"] == "number":
        schema: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 999_999}
        return {**parameter, "schema": schema, "example": 1}
    return {**parameter, "schema": {"type": "string", "format": "uuid"}, "example": _ID}
