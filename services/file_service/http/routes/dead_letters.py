"""`/admin/parked`: dead letters, for administrators."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from converto_core.access import NewIds
from converto_core.dead_letters import Reason
from converto_core.ports.dead_letters import DeadLetterFilter
from file_service.dead_letters.administration import DeadLetters
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, answer, answer_once, check_after, page_link, query_of, read_json
from file_service.http.schemas.dead_letters import (
    ConversionId,
    DeadLetterBody,
    DeadLetterChoice,
    DeadLetterList,
    DeadLettersHandled,
    dead_letter_body,
    dead_letter_summary,
)
from file_service.http.schemas.fields import Nothing
from file_service.http.views import Views
from file_service.uploads.naming import parse_id

TAGS = ["administration"]
PAGE = 200
"""How many dead letters one request handles; a few seconds of work at most."""


class DeadLetterPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of dead letters."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: str | None = None
    reason: Reason | None = None
    conversion_id: ConversionId | None = None


@get(
    "/parked",
    operation_id="list_parked",
    tags=TAGS,
    summary="List dead letters",
    responses=problem_responses(403, 422),
)
async def list_dead_letters(
    request: ApiRequest, dead_letters: NamedDependency[DeadLetters], views: NamedDependency[Views]
) -> Response[DeadLetterList]:
    """Lists messages that the broker could not deliver to a worker, latest first. Requires an administrator's key."""
    page = query_of(request, DeadLetterPage)
    check_after(page.after)
    query = DeadLetterFilter(reason=page.reason, conversion_id=page.conversion_id, after=page.after, limit=page.limit)
    found = await dead_letters.find(query)
    next_id = found[-1].id if len(found) == page.limit else None
    body = DeadLetterList(messages=[dead_letter_summary(message) for message in found], next=next_id)
    return Response(body, headers=page_link(request, f"{views.base}/admin", next_id))


@get(
    "/parked/{message_id:str}",
    operation_id="get_parked",
    tags=TAGS,
    summary="Get a dead letter",
    responses=problem_responses(400, 403, 404),
)
async def get_dead_letter(
    request: ApiRequest, message_id: FromPath[str], dead_letters: NamedDependency[DeadLetters]
) -> DeadLetterBody:
    """Returns its body, why it was dead-lettered, the current state of its conversion, and what to do."""
    return dead_letter_body(await dead_letters.explain(parse_id(message_id)))


@post(
    "/parked/{message_id:str}/requeue",
    operation_id="requeue_parked",
    status_code=202,
    tags=TAGS,
    summary="Requeue a dead letter",
    responses=problem_responses(400, 403, 404, 409, 422),
)
async def requeue_dead_letter(
    request: ApiRequest,
    message_id: FromPath[str],
    *,
    dead_letters: NamedDependency[DeadLetters],
    idempotency: NamedDependency[Idempotency],
) -> Response[DeadLetterBody]:
    """Sends the conversion's message now and deletes the dead letter; 409 if no conversion waits for it."""
    known_id, body = parse_id(message_id), await read_json(request, Nothing)

    async def work(_: NewIds) -> Answer:
        return answer(202, dead_letter_body(await dead_letters.requeue(known_id)))

    return await answer_once(request, idempotency, body, work)


@delete(
    "/parked/{message_id:str}",
    operation_id="drop_parked",
    status_code=204,
    tags=TAGS,
    summary="Drop a dead letter",
    responses=problem_responses(400, 403, 404),
)
async def drop_dead_letter(
    request: ApiRequest, message_id: FromPath[str], dead_letters: NamedDependency[DeadLetters]
) -> None:
    """Deletes the dead letter; its conversion is not changed."""
    await dead_letters.drop(parse_id(message_id))


@post(
    "/parked/requeue",
    operation_id="requeue_many_parked",
    status_code=200,
    tags=TAGS,
    summary="Requeue many dead letters",
    responses=problem_responses(400, 403, 409, 422),
)
async def requeue_dead_letters(
    request: ApiRequest, *, dead_letters: NamedDependency[DeadLetters], idempotency: NamedDependency[Idempotency]
) -> Response[DeadLettersHandled]:
    """Handles up to 200 per request; those that cannot be requeued stay, and the response says why."""
    return await _handle_page(request, idempotency, dead_letters.requeue_page)


@post(
    "/parked/drop",
    operation_id="drop_many_parked",
    status_code=200,
    tags=TAGS,
    summary="Drop many dead letters",
    responses=problem_responses(400, 403, 409, 422),
)
async def drop_dead_letters(
    request: ApiRequest, *, dead_letters: NamedDependency[DeadLetters], idempotency: NamedDependency[Idempotency]
) -> Response[DeadLettersHandled]:
    """Handles up to 200 per request; their conversions are not changed."""
    return await _handle_page(request, idempotency, dead_letters.drop_page)


def dead_letter_routes() -> list[Any]:
    """Return the handlers of `/admin/parked`."""
    return [
        list_dead_letters,
        get_dead_letter,
        requeue_dead_letters,
        drop_dead_letters,
        requeue_dead_letter,
        drop_dead_letter,
    ]


async def _handle_page(
    request: ApiRequest, idempotency: Idempotency, handle: Callable[[DeadLetterFilter], Awaitable[DeadLettersHandled]]
) -> Response[DeadLettersHandled]:
    choice = await read_json(request, DeadLetterChoice)
    check_after(choice.after)
    query = DeadLetterFilter(reason=choice.reason, conversion_id=choice.conversion_id, after=choice.after, limit=PAGE)

    async def work(_: NewIds) -> Answer:
        return answer(200, await handle(query))

    return await answer_once(request, idempotency, choice, work)
