"""`/plans`: how a conversion would go, without making one."""

from litestar import Response, post
from litestar.di import NamedDependency

from converto_core.access import NewIds
from file_service.conversions.plans import Plans
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, answer, answer_once, read_json
from file_service.http.schemas import NewPlan, PlanBody


@post(
    "/plans",
    status_code=200,
    tags=["catalogue"],
    summary="How a conversion would go",
    responses=problem_responses(400, 404, 409, 413, 422),
)
async def make_plan(
    request: ApiRequest, *, plans: NamedDependency[Plans], once: NamedDependency[Idempotency]
) -> Response[PlanBody]:
    """Steps, options, how long it takes here judged by earlier conversions, and what is lost. Nothing is stored."""
    new = await read_json(request, NewPlan)

    async def plan(_: NewIds) -> Answer:
        return answer(200, await plans.make(request.user.owner, new))

    return await answer_once(request, once, new, plan)
