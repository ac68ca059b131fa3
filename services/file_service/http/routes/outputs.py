"""`/conversions/{id}/outputs`: list and download the outputs of a conversion."""

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from file_service.conversions.records import Records, check_number
from file_service.http.problem_details import problem_responses
from file_service.http.requests import ApiRequest, query_of
from file_service.http.schemas.conversions import Outputs
from file_service.http.views import output_link
from file_service.uploads.naming import parse_id

TAGS = ["conversions"]


class OutputQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of one output."""

    inline: bool = False


@get(
    "/conversions/{conversion_id:str}/outputs",
    tags=TAGS,
    summary="List the outputs with download URLs",
    responses=problem_responses(400, 404, 409, 410),
)
async def list_outputs(request: ApiRequest, conversion_id: FromPath[str], records: NamedDependency[Records]) -> Outputs:
    """The URLs need no API key and expire after some minutes. 410 `result_lost`: one of the outputs is gone."""
    found = await records.outputs(request.user.owner, parse_id(conversion_id))
    return Outputs(
        [output_link(output, url=presigned.url, expires_at=presigned.expires_at) for output, presigned in found]
    )


@get(
    "/conversions/{conversion_id:str}/outputs/{number:str}",
    status_code=307,
    tags=TAGS,
    summary="Download one output",
    responses=problem_responses(400, 404, 409, 410, 422),
)
async def get_output(
    request: ApiRequest, conversion_id: FromPath[str], number: FromPath[str], records: NamedDependency[Records]
) -> Response[None]:
    """Redirects to the object store, which has the output: 410 `result_lost` otherwise.

    Outputs are counted from 1; with `?inline=true` a browser displays the output.
    """
    query = query_of(request, OutputQuery)
    presigned = await records.output(
        request.user.owner, parse_id(conversion_id), check_number(number), inline=query.inline
    )
    return Response(None, status_code=307, headers={"Location": presigned.url, "Cache-Control": "no-store"})
