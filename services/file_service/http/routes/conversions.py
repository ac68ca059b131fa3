"""`/conversions`: create, list, read, cancel, retry, delete."""

import asyncio
import hashlib
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from converto_core.access import NewIds
from converto_core.conversion.record import Conversion, Status
from converto_core.ports.stores import ConversionFilter
from converto_infra.settings import Settings
from file_service.conversions.offers import target_named
from file_service.conversions.passwords import Passwords
from file_service.conversions.records import Records
from file_service.conversions.submission import Created, FormUpload, Submission
from file_service.delivery.live_events import LiveEvents
from file_service.http.forms import FORM_OVERHEAD_BYTES, read_form
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import FieldError, InvalidFields, problem_responses
from file_service.http.requests import (
    ApiRequest,
    answer,
    answer_once,
    check_after,
    page_link,
    preferred_wait_s,
    query_of,
    read_json,
)
from file_service.http.routes.outputs import get_output, list_outputs
from file_service.http.schemas.conversions import (
    ConversionBody,
    ConversionCreatedBody,
    ConversionList,
    FormFields,
    HistoryBody,
    NewConversion,
    Retry,
)
from file_service.http.schemas.fields import ClientId, FormatName, Nothing
from file_service.http.views import Views, file_body, history_body
from file_service.uploads.naming import is_id, parse_id

TAGS = ["conversions"]
SOON = {"Retry-After": "1"}
"""Most conversions take seconds; this is a hint for clients that poll."""


class ConversionPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of conversions."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: str | None = None
    status: str | None = None
    client_id: ClientId | None = None
    file_id: str | None = None
    target_format: FormatName | None = None


async def create_conversion(
    request: ApiRequest,
    *,
    submission: NamedDependency[Submission],
    passwords: NamedDependency[Passwords],
    idempotency: NamedDependency[Idempotency],
    views: NamedDependency[Views],
    settings: NamedDependency[Settings],
) -> Response[ConversionCreatedBody]:
    """With JSON, the response says where to upload the file; with multipart/form-data, the request contains it.

    The response does not wait for the conversion: follow `links.events`, or poll `links.self`.
    """
    owner = request.user.owner
    if request.content_type[0] == "multipart/form-data":
        async with read_form(request, max_bytes=settings.max_form_bytes) as (form, upload):
            fields, form_password = passwords.taken_from(form)

            async def store(new_ids: NewIds) -> Answer:
                sealed = passwords.sealed(form_password, new_ids.conversion_id)
                created = await submission.create_from_form(
                    owner, fields, upload, max_bytes=settings.max_form_bytes, new_ids=new_ids, sealed_password=sealed
                )
                return _created(created, views)

            content = await asyncio.to_thread(_form_content, fields, upload)
            return await answer_once(
                request, idempotency, passwords.identity(content, form_password, owner=owner), store
            )
    new, password = passwords.taken_from(await read_json(request, NewConversion))

    async def register(new_ids: NewIds) -> Answer:
        sealed = passwords.sealed(password, new_ids.conversion_id)
        return _created(await submission.create(owner, new, new_ids, sealed_password=sealed), views)

    return await answer_once(request, idempotency, passwords.identity(new, password, owner=owner), register)


@get("/conversions", tags=TAGS, summary="List your conversions, newest first", responses=problem_responses(422))
async def list_conversions(
    request: ApiRequest, records: NamedDependency[Records], views: NamedDependency[Views]
) -> Response[ConversionList]:
    """Returns one page; `status` may list several statuses, separated by commas."""
    page = query_of(request, ConversionPage)
    found = await records.find(_filter(request.user.owner, page))
    next_id = found[-1].id if len(found) == page.limit else None
    body = ConversionList(conversions=[views.conversion(one) for one in found], next=next_id)
    return Response(body, headers=page_link(request, views.base, next_id))


@get("/conversions/{conversion_id:str}", tags=TAGS, summary="Get a conversion", responses=problem_responses(400, 404))
async def get_conversion(
    request: ApiRequest,
    conversion_id: FromPath[str],
    *,
    records: NamedDependency[Records],
    live_events: NamedDependency[LiveEvents],
    views: NamedDependency[Views],
    settings: NamedDependency[Settings],
) -> Response[ConversionBody]:
    """`If-None-Match` gets 304 if nothing has changed; `Prefer: wait=N` waits for the conversion to end."""
    conversion = await records.get(request.user.owner, parse_id(conversion_id))
    wait_s = preferred_wait_s(request, settings.max_wait_s)
    headers: dict[str, str] = {"Cache-Control": "private, no-cache", "Vary": "Prefer"}
    if wait_s:
        conversion = await live_events.wait_terminal(conversion, wait_s)
        headers["Preference-Applied"] = f"wait={wait_s:g}"
    if not conversion.is_terminal:
        headers |= SOON
    return _with_etag(request, views.conversion(conversion), headers)


@get(
    "/conversions/{conversion_id:str}/history",
    tags=TAGS,
    summary="Get the history of a conversion",
    responses=problem_responses(400, 404),
)
async def get_history(
    request: ApiRequest, conversion_id: FromPath[str], records: NamedDependency[Records]
) -> HistoryBody:
    """Lists every change of its status with attempts, lost workers, lanes and reasons, oldest first."""
    return history_body(await records.history(request.user.owner, parse_id(conversion_id)))


@post(
    "/conversions/{conversion_id:str}/cancel",
    status_code=200,
    tags=TAGS,
    summary="Cancel a conversion",
    responses=problem_responses(400, 404, 409, 422),
)
async def cancel_conversion(
    request: ApiRequest,
    conversion_id: FromPath[str],
    *,
    records: NamedDependency[Records],
    idempotency: NamedDependency[Idempotency],
    views: NamedDependency[Views],
) -> Response[ConversionBody]:
    """Responds 200 if it is cancelled, or 202 if it is running and its worker was asked to stop."""
    known_id, body = parse_id(conversion_id), await read_json(request, Nothing)

    async def work(_: NewIds) -> Answer:
        conversion = await records.cancel(request.user.owner, known_id)
        return _answer(conversion, views, status=200 if conversion.is_terminal else 202)

    return await answer_once(request, idempotency, body, work)


@post(
    "/conversions/{conversion_id:str}/retry",
    status_code=202,
    tags=TAGS,
    summary="Retry a conversion",
    responses=problem_responses(400, 404, 409, 410, 422, 429),
)
async def retry_conversion(
    request: ApiRequest,
    conversion_id: FromPath[str],
    *,
    submission: NamedDependency[Submission],
    passwords: NamedDependency[Passwords],
    idempotency: NamedDependency[Idempotency],
    views: NamedDependency[Views],
) -> Response[ConversionBody]:
    """Only for conversions that failed, were cancelled, have expired or have lost their result (`result_lost_at`).

    One that was created with a password needs it again: passwords are deleted when a conversion ends.
    """
    owner, known_id = request.user.owner, parse_id(conversion_id)
    password = passwords.of_retry(await read_json(request, Retry))

    async def work(_: NewIds) -> Answer:
        sealed = passwords.sealed(password, known_id)
        return _answer(await submission.retry(owner, known_id, sealed_password=sealed), views, status=202)

    return await answer_once(request, idempotency, passwords.identity(Nothing(), password, owner=owner), work)


@delete(
    "/conversions/{conversion_id:str}",
    status_code=204,
    tags=TAGS,
    summary="Delete a conversion and its outputs",
    responses=problem_responses(400, 404, 409),
)
async def delete_conversion(
    request: ApiRequest, conversion_id: FromPath[str], records: NamedDependency[Records]
) -> None:
    """Only for conversions that have ended; the source file stays."""
    await records.delete(request.user.owner, parse_id(conversion_id))


def conversion_routes(settings: Settings) -> list[Any]:
    """Return the handlers of `/conversions`; creation is built here, because its size limit is a setting."""
    create = post(
        "/conversions",
        tags=TAGS,
        summary="Create a conversion",
        responses=problem_responses(400, 409, 413, 422, 429),
        request_max_body_size=settings.max_form_bytes + FORM_OVERHEAD_BYTES,
    )(create_conversion)
    return [
        create,
        list_conversions,
        get_conversion,
        get_history,
        list_outputs,
        get_output,
        cancel_conversion,
        retry_conversion,
        delete_conversion,
    ]


def _created(created: Created, views: Views) -> Answer:
    body = ConversionCreatedBody(
        conversion=views.conversion(created.conversion), file=file_body(created.file), upload=created.upload
    )
    headers = {} if created.conversion.is_terminal else SOON
    return answer(201, body, location=body.conversion.links.self, headers=headers)


def _answer(conversion: Conversion, views: Views, *, status: int) -> Answer:
    body = views.conversion(conversion)
    return answer(status, body, location=body.links.self, headers={} if conversion.is_terminal else SOON)


def _form_content(fields: FormFields, upload: FormUpload) -> dict[str, Any]:
    """Return what identifies a form for idempotency; its boundary differs each time."""
    with upload.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"fields": fields, "filename": upload.filename, "sha256": sha256}


def _filter(owner: str, page: ConversionPage) -> ConversionFilter:
    check_after(page.after)
    if page.file_id is not None and not is_id(page.file_id):
        raise InvalidFields([FieldError("file_id", "must be the id of a file, a UUID")])
    return ConversionFilter(
        owner=owner,
        statuses=_statuses(page.status),
        client_id=page.client_id,
        file_id=page.file_id,
        target_format=target_named(page.target_format) if page.target_format else None,
        after=page.after,
        limit=page.limit,
    )


def _statuses(untrusted_words: str | None) -> tuple[Status, ...]:
    words = [word.strip() for word in (untrusted_words or "").split(",") if word.strip()]
    unknown = [word for word in words if word not in set(Status)]
    if unknown:
        raise InvalidFields([FieldError("status", f'"{unknown[0][:32]}" is not a status; use {", ".join(Status)}')])
    return tuple(dict.fromkeys(Status(word) for word in words))


def _with_etag(request: ApiRequest, body: ConversionBody, headers: dict[str, str]) -> Response[Any]:
    content = msgspec.json.encode(body)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**headers, "ETag": etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(None, status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
