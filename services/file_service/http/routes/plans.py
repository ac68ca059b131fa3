"""`/plans`: plan a conversion without creating one."""

from litestar import Response, post
from litestar.di import NamedDependency

from converto_core.access import NewIds
from converto_core.caller import Scope
from file_service.conversions.plans import Plans
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, answer, answer_once, read_json
from file_service.http.schemas.catalogue import NewPlan, PlanBody
from file_service.http.scopes import needs


@post(
    "/plans",
    opt=needs(Scope.READ),  # a dry run
    status_code=200,
    tags=["catalogue"],
    summary="Plan a conversion",
    responses=problem_responses(400, 404, 409, 413, 422),
)
async def make_plan(
    request: ApiRequest, *, plans: NamedDependency[Plans], idempotency: NamedDependency[Idempotency]
) -> Response[PlanBody]:
    """Returns the steps, options, expected duration and losses of a conversion; nothing is stored."""
    new = await read_json(request, NewPlan)

    async def plan(_: NewIds) -> Answer:
        return answer(200, await plans.make(request.user.owner, new))

    return await answer_once(request, idempotency, new, plan)
