"""`/admin/parked`: messages that the broker set aside, for administrators."""

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
from file_service.http.dead_letter_bodies import (
    ConversionId,
    DeadLetterBody,
    DeadLetterChoice,
    DeadLetterList,
    DeadLettersHandled,
    dead_letter_body,
    dead_letter_summary,
)
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, answer, answer_once, check_after, page_link, query_of, read_json
from file_service.http.schemas import Nothing
from file_service.http.views import Views
from file_service.uploads.naming import parse_id

TAGS = ["administration"]
PAGE = 200
"""How many messages one request settles: seconds of work at most."""


class DeadLetterPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of parked messages."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: str | None = None
    reason: Reason | None = None
    conversion_id: ConversionId | None = None


@get("/parked", tags=TAGS, summary="List parked messages", responses=problem_responses(403, 422))
async def list_parked(
    request: ApiRequest, parked: NamedDependency[DeadLetters], views: NamedDependency[Views]
) -> Response[DeadLetterList]:
    """What the broker could not hand to a worker, the last that died first. Needs an administrator's key."""
    page = query_of(request, DeadLetterPage)
    check_after(page.after)
    query = DeadLetterFilter(reason=page.reason, conversion_id=page.conversion_id, after=page.after, limit=page.limit)
    found = await parked.find(query)
    next_id = found[-1].id if len(found) == page.limit else None
    body = DeadLetterList(messages=[dead_letter_summary(message) for message in found], next=next_id)
    return Response(body, headers=page_link(request, f"{views.base}/admin", next_id))


@get("/parked/{message_id:str}", tags=TAGS, summary="One parked message", responses=problem_responses(400, 403, 404))
async def get_parked(
    request: ApiRequest, message_id: FromPath[str], parked: NamedDependency[DeadLetters]
) -> DeadLetterBody:
    """With its body, why it was set aside, what became of its conversion, and what to do."""
    return dead_letter_body(await parked.explain(parse_id(message_id)))


@post(
    "/parked/{message_id:str}/requeue",
    status_code=202,
    tags=TAGS,
    summary="Wake the conversion of a parked message",
    responses=problem_responses(400, 403, 404, 409, 422),
)
async def requeue_parked(
    request: ApiRequest,
    message_id: FromPath[str],
    *,
    parked: NamedDependency[DeadLetters],
    once: NamedDependency[Idempotency],
) -> Response[DeadLetterBody]:
    """Its wake-up leaves at once and the message is forgotten; 409 says why when no conversion waits for it."""
    known_id, body = parse_id(message_id), await read_json(request, Nothing)

    async def work(_: NewIds) -> Answer:
        return answer(202, dead_letter_body(await parked.requeue(known_id)))

    return await answer_once(request, once, body, work)


@delete(
    "/parked/{message_id:str}",
    status_code=204,
    tags=TAGS,
    summary="Drop a parked message",
    responses=problem_responses(400, 403, 404),
)
async def drop_parked(request: ApiRequest, message_id: FromPath[str], parked: NamedDependency[DeadLetters]) -> None:
    """It is forgotten; its conversion stays as it is."""
    await parked.drop(parse_id(message_id))


@post(
    "/parked/requeue",
    status_code=200,
    tags=TAGS,
    summary="Wake the conversions of many parked messages",
    responses=problem_responses(400, 403, 409, 422),
)
async def requeue_many_parked(
    request: ApiRequest, *, parked: NamedDependency[DeadLetters], once: NamedDependency[Idempotency]
) -> Response[DeadLettersHandled]:
    """Up to 200 for each request; what cannot be requeued stays, and the answer says why."""
    choice = await _choice(request)

    async def work(_: NewIds) -> Answer:
        return answer(200, await parked.requeue_page(_filter(choice)))

    return await answer_once(request, once, choice, work)


@post(
    "/parked/drop",
    status_code=200,
    tags=TAGS,
    summary="Drop many parked messages",
    responses=problem_responses(400, 403, 409, 422),
)
async def drop_many_parked(
    request: ApiRequest, *, parked: NamedDependency[DeadLetters], once: NamedDependency[Idempotency]
) -> Response[DeadLettersHandled]:
    """Up to 200 for each request; their conversions stay as they are."""
    choice = await _choice(request)

    async def work(_: NewIds) -> Answer:
        return answer(200, await parked.drop_page(_filter(choice)))

    return await answer_once(request, once, choice, work)


def dead_letter_routes() -> list[Any]:
    """All handlers of this noun."""
    return [list_parked, get_parked, requeue_many_parked, drop_many_parked, requeue_parked, drop_parked]


async def _choice(request: ApiRequest) -> DeadLetterChoice:
    choice = await read_json(request, DeadLetterChoice)
    check_after(choice.after)
    return choice


def _filter(choice: DeadLetterChoice) -> DeadLetterFilter:
    return DeadLetterFilter(reason=choice.reason, conversion_id=choice.conversion_id, after=choice.after, limit=PAGE)
