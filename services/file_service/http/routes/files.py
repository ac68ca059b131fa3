"""`/files`: announce, upload, confirm, list, download, delete."""

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from msgspec import Meta

from converto_core.access import NewIds
from file_service.conversions.records import Records
from file_service.conversions.starter import Starter
from file_service.http.idempotency import Answer, Idempotency
from file_service.http.problem_details import problem_responses
from file_service.http.requests import (
    PARTS_LIMIT_BYTES,
    ApiRequest,
    answer,
    answer_once,
    check_after,
    page_link,
    query_of,
    read_json,
)
from file_service.http.schemas.conversions import FileConfirmed
from file_service.http.schemas.fields import Nothing
from file_service.http.schemas.files import (
    ArrivedParts,
    FileBody,
    FileCreated,
    FileList,
    NewFile,
    PartNumbers,
    PresignedPart,
    PresignedParts,
    Uploaded,
)
from file_service.http.views import Views, file_body
from file_service.uploads.files import Files
from file_service.uploads.naming import parse_id

TAGS = ["files"]


class FilePage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of files."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: str | None = None


@post(
    "/files",
    tags=TAGS,
    summary="Announce a file and get its upload URL",
    responses=problem_responses(400, 409, 413, 422),
)
async def create_file(
    request: ApiRequest,
    files: NamedDependency[Files],
    idempotency: NamedDependency[Idempotency],
    views: NamedDependency[Views],
) -> Response[FileCreated]:
    """Returns a presigned request (or a part size); the bytes go directly to the object store."""
    new = await read_json(request, NewFile)

    async def work(new_ids: NewIds) -> Answer:
        file, upload = await files.create(request.user.owner, new, new_ids.file_id)
        body = FileCreated(file=file_body(file), upload=upload)
        return answer(201, body, location=f"{views.base}/files/{file.id}")

    return await answer_once(request, idempotency, new, work)


@get("/files", tags=TAGS, summary="List your files, newest first", responses=problem_responses(422))
async def list_files(
    request: ApiRequest, files: NamedDependency[Files], views: NamedDependency[Views]
) -> Response[FileList]:
    """Returns one page; follow `next` or the `Link` header for more."""
    page = query_of(request, FilePage)
    check_after(page.after)
    found = await files.find(request.user.owner, after=page.after, limit=page.limit)
    next_id = found[-1].id if len(found) == page.limit else None
    body = FileList(files=[file_body(file) for file in found], next=next_id)
    return Response(body, headers=page_link(request, views.base, next_id))


@get("/files/{file_id:str}", tags=TAGS, summary="Get a file", responses=problem_responses(400, 404))
async def get_file(request: ApiRequest, file_id: FromPath[str], files: NamedDependency[Files]) -> FileBody:
    """Returns the file's record."""
    return file_body(await files.get(request.user.owner, parse_id(file_id)))


@post(
    "/files/{file_id:str}/upload",
    status_code=200,
    tags=TAGS,
    summary="Get a fresh upload URL",
    responses=problem_responses(400, 404, 409, 422),
)
async def refresh_upload(
    request: ApiRequest,
    file_id: FromPath[str],
    files: NamedDependency[Files],
    idempotency: NamedDependency[Idempotency],
) -> Response[FileCreated]:
    """For an upload that was interrupted or whose URL has expired.

    Answers 409 `conflict` when the bytes have arrived; confirm the upload then.
    """
    untrusted_id, body = parse_id(file_id), await read_json(request, Nothing)

    async def work(_: NewIds) -> Answer:
        file, upload = await files.fresh_upload(request.user.owner, untrusted_id)
        return answer(200, FileCreated(file=file_body(file), upload=upload))

    return await answer_once(request, idempotency, body, work)


@post(
    "/files/{file_id:str}/parts",
    status_code=200,
    tags=TAGS,
    summary="Presign parts of an upload",
    responses=problem_responses(400, 404, 409, 413, 422),
)
async def presign_parts(
    request: ApiRequest,
    file_id: FromPath[str],
    files: NamedDependency[Files],
    idempotency: NamedDependency[Idempotency],
) -> Response[PresignedParts]:
    """Accepts up to 1000 part numbers per request.

    If the object store has lost the upload, the URLs belong to a new one: list the parts before you send more.
    """
    known_id, body = parse_id(file_id), await read_json(request, PartNumbers)

    async def work(_: NewIds) -> Answer:
        requests = await files.presign_parts(request.user.owner, known_id, body.part_numbers)
        parts = [
            PresignedPart(part_number=number, **msgspec.structs.asdict(part))
            for number, part in zip(body.part_numbers, requests, strict=True)
        ]
        return answer(200, PresignedParts(parts))

    return await answer_once(request, idempotency, body, work)


@get(
    "/files/{file_id:str}/parts",
    tags=TAGS,
    summary="List the parts that have arrived",
    responses=problem_responses(400, 404, 409),
)
async def list_parts(request: ApiRequest, file_id: FromPath[str], files: NamedDependency[Files]) -> ArrivedParts:
    """Lets an interrupted upload resume with the missing parts.

    When a part answers 404 `NoSuchUpload`, or its connection breaks, ask here: if the object store has lost the upload,
    which happens when it restarts, a new one begins and no part is listed. Presign and send all parts that are not
    listed, then confirm. Answers 409 `conflict` when the parts are joined already; confirm the upload then.
    """
    return await files.arrived_parts(request.user.owner, parse_id(file_id))


@post(
    "/files/{file_id:str}/uploaded",
    status_code=200,
    tags=TAGS,
    summary="Confirm an upload",
    responses=problem_responses(400, 404, 409, 413, 422),
)
async def confirm_upload(
    request: ApiRequest,
    file_id: FromPath[str],
    *,
    starter: NamedDependency[Starter],
    idempotency: NamedDependency[Idempotency],
    views: NamedDependency[Views],
) -> Response[FileConfirmed]:
    """Verifies size, checksum and content; conversions that waited become pending, completed or failed.

    Answers 409 `upload_incomplete` while bytes are missing, and 409 `upload_lost` when the object store has lost the
    parts: GET /api/v1/files/{id}/parts then begins a new upload.
    """
    known_id, body = parse_id(file_id), await read_json(request, Uploaded, limit_bytes=PARTS_LIMIT_BYTES)

    async def work(_: NewIds) -> Answer:
        file, conversions = await starter.confirm_upload(request.user.owner, known_id, body.parts)
        confirmed = FileConfirmed(file=file_body(file), conversions=[views.conversion(one) for one in conversions])
        return answer(200, confirmed)

    return await answer_once(request, idempotency, body, work)


@get(
    "/files/{file_id:str}/content",
    status_code=307,
    tags=TAGS,
    summary="Download the original",
    responses=problem_responses(400, 404, 409, 410),
)
async def get_content(request: ApiRequest, file_id: FromPath[str], files: NamedDependency[Files]) -> Response[None]:
    """Redirects to a presigned URL that expires after some minutes."""
    presigned = await files.download(request.user.owner, parse_id(file_id))
    return Response(None, status_code=307, headers={"Location": presigned.url, "Cache-Control": "no-store"})


@delete(
    "/files/{file_id:str}",
    status_code=204,
    tags=TAGS,
    summary="Delete a file",
    responses=problem_responses(400, 404),
)
async def delete_file(request: ApiRequest, file_id: FromPath[str], records: NamedDependency[Records]) -> None:
    """Removes its bytes and cancels its conversions that have not started."""
    await records.delete_file(request.user.owner, parse_id(file_id))


def file_routes() -> list[BaseRouteHandler | Any]:
    """Return the handlers of `/files`."""
    return [
        create_file,
        list_files,
        get_file,
        refresh_upload,
        presign_parts,
        list_parts,
        confirm_upload,
        get_content,
        delete_file,
    ]
