"""Small files inside a multipart/form-data request: onto disk, never whole in memory. It knows no use case."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException

from file_service.conversions.submission import FormUpload
from file_service.http.problem_details import FieldError, InvalidFields
from file_service.http.requests import ApiRequest, body_error, convert, decode
from file_service.http.schemas import FormFields, MimeType, Options

FORM_ROOM_BYTES = 1024 * 1024
"""What a form may have beside the file: the other fields and the boundaries."""

MAY_BE_EMPTY = {"client_id", "lane", "fresh"}
"""Fields that a web form sends also when nothing was entered."""


class _OptionsText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    options: Options


@asynccontextmanager
async def read_form(request: ApiRequest, *, max_bytes: int) -> AsyncIterator[tuple[FormFields, FormUpload]]:
    """The fields, and the file as a path that lives as long as this context. Raises `TooLarge`, `InvalidFields`."""
    form = await _parsed(request, max_bytes)
    upload = form.pop("file", None)
    try:
        if not isinstance(upload, UploadFile):
            raise InvalidFields([FieldError("file", "must be one file (with a filename)")])
        fields = _fields(form)
        with tempfile.TemporaryDirectory(prefix="converto-form-") as folder:
            path = Path(folder) / "source"
            size_bytes = await asyncio.to_thread(_copy, upload.file, path)
            yield fields, _form_upload(upload, path, size_bytes)
    finally:
        for value in (upload, *form.values()):
            await _close(value)


async def _parsed(request: ApiRequest, max_bytes: int) -> dict[str, Any]:
    try:
        form = await request.form()
    except HTTPException as error:
        text = f"A form takes files of up to {max_bytes} bytes. Send larger ones by POST /api/v1/conversions with JSON"
        raise body_error(error, text) from error
    return {name: values if len(values := form.getall(name)) > 1 else values[0] for name in form}


def _fields(form: dict[str, Any]) -> FormFields:
    fields = {name: value for name, value in form.items() if not (name in MAY_BE_EMPTY and value == "")}
    text = fields.pop("options", None) or "{}"
    if not isinstance(text, str):
        raise InvalidFields([FieldError("options", "must be JSON text, named once")])
    options = decode(f'{{"options":{text}}}', _OptionsText).options
    return convert({**fields, "options": options}, FormFields)


def _copy(source: IO[bytes], path: Path) -> int:
    source.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, 1024 * 1024)
        return target.tell()


def _form_upload(upload: UploadFile, path: Path, size_bytes: int) -> FormUpload:
    try:
        content_type: str | None = msgspec.convert(upload.content_type, MimeType)
    except msgspec.ValidationError:
        content_type = None  # only a declaration; the content decides
    return FormUpload(path=path, filename=upload.filename, size_bytes=size_bytes, content_type=content_type)


async def _close(value: Any) -> None:
    if isinstance(value, UploadFile):
        await value.close()
    elif isinstance(value, list):
        for entry in value:
            await _close(entry)
