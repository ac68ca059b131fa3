"""`/plans`: plan a conversion without creating one."""

from litestar import post
from litestar.di import NamedDependency

from converto_core.caller import Scope
from file_service.conversions.plans import Plans
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, read_json
from file_service.http.schemas.catalogue import NewPlan, PlanBody
from file_service.http.scopes import needs


@post(
    "/plans",
    opt=needs(Scope.READ),  # a dry run
    status_code=200,
    tags=["catalogue"],
    summary="Plan a conversion",
    responses=problem_responses(400, 404, 413, 422),
)
async def make_plan(request: ApiRequest, *, plans: NamedDependency[Plans]) -> PlanBody:
    """Returns the steps, options, expected duration and losses of a conversion; nothing is stored."""
    return await plans.make(request.user.owner, await read_json(request, NewPlan))
