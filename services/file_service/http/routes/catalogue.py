"""`/formats`, `/workers` and `/whoami`."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from msgspec import Meta

from converto_core.caller import Scope
from converto_core.catalogue import Offer
from converto_core.formats import FORMATS, format_named
from converto_engines import planner
from file_service.conversions.offers import Offers
from file_service.conversions.records import Records
from file_service.http.problem_details import FieldError, InvalidFields, problem_responses
from file_service.http.requests import ApiRequest, query_of
from file_service.http.schemas.catalogue import FormatBody, Formats, RouteBody, WhoAmI, Workers
from file_service.http.schemas.fields import FormatName
from file_service.http.scopes import needs
from file_service.http.views import worker_body

TAGS = ["catalogue"]


class FormatsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of formats."""

    source: FormatName | None = None
    target: FormatName | None = None
    sleeping: Annotated[
        bool, Meta(description="Include routes of workers that are not running now; such conversions wait for a worker")
    ] = False


@get("/formats", tags=TAGS, summary="List formats and routes", responses=problem_responses(422))
async def list_formats(request: ApiRequest, offers: NamedDependency[Offers]) -> Formats:
    """Lists every format, and every route of a running worker with its steps and the JSON Schema of its options."""
    query = query_of(request, FormatsQuery)
    source, target = _name("source", query.source), _name("target", query.target)
    chosen = [
        route
        for route in await offers.routes(is_live=not query.sleeping)
        if source in (None, route.source) and target in (None, route.target)
    ]
    by_name = {offer.converter: offer for offer in await offers.known()}
    formats = [msgspec.convert(entry, FormatBody, from_attributes=True) for entry in FORMATS]
    return Formats(formats=formats, routes=[_route(route, by_name) for route in chosen])


@get("/workers", tags=TAGS, summary="List running workers", responses=problem_responses())
async def list_workers(
    request: ApiRequest, offers: NamedDependency[Offers], records: NamedDependency[Records]
) -> Workers:
    """Lists workers with a heartbeat in the last 30 seconds; ids of other owners' conversions are null."""
    workers = await offers.alive()
    running = {slot.conversion_id for worker in workers for slot in worker.running}
    own = await records.own_ids(request.user.owner, running)
    return Workers([worker_body(worker, own) for worker in workers])


@get("/whoami", opt=needs(None), tags=TAGS, summary="Identify the caller", responses=problem_responses())
async def who_am_i(request: ApiRequest) -> WhoAmI:
    """Returns owner and scopes of the API key or access token; useful to test one."""
    caller = request.user
    return WhoAmI(
        owner=caller.owner,
        key_id=caller.key_id,
        is_admin=caller.is_admin,
        scopes=tuple(scope for scope in Scope if scope in caller.scopes),
        expires_at=caller.expires_at,
    )


def _name(field: str, untrusted_name: str | None) -> str | None:
    if untrusted_name is None:
        return None
    entry = format_named(untrusted_name)
    if entry is None:
        raise InvalidFields(
            [FieldError(field, f'"{untrusted_name}" is not a known format; GET /api/v1/formats lists all formats')]
        )
    return entry.name


def _route(route: planner.Route, by_name: dict[str, Offer]) -> RouteBody:
    offers = tuple(by_name.values())
    last, first = by_name[route.steps[-1].converter], by_name[route.steps[0].converter]
    return RouteBody(
        source=route.source,
        target=route.target,
        converter=last.converter,
        engine=last.engine,
        engine_version=last.engine_version,
        family=first.family,
        options_schema=planner.merged_schema(route.steps, offers),
        steps=route.steps,
        losses=planner.losses_of(route.steps, offers),
    )
