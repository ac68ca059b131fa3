"""Reads multipart/form-data requests: files are written to disk and never held in memory as a whole."""

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
from file_service.http.schemas.conversions import FormFields
from file_service.http.schemas.fields import MimeType, Options

FORM_OVERHEAD_BYTES = 1024 * 1024
"""The size allowed for everything but the file: the other fields and the boundaries."""

MAY_BE_EMPTY = {"client_id", "lane", "fresh"}
"""Fields that web forms send even when they are left empty."""


class _OptionsText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    options: Options


@asynccontextmanager
async def read_form(request: ApiRequest, *, max_bytes: int) -> AsyncIterator[tuple[FormFields, FormUpload]]:
    """Yield the fields and the file, which exists within this context; raises `TooLarge`, `InvalidFields`."""
    form = await _parsed(request, max_bytes)
    upload = form.pop("file", None)
    try:
        if not isinstance(upload, UploadFile):
            raise InvalidFields([FieldError("file", "must be exactly one file, with a filename")])
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
        text = (
            f"A form may send a file of at most {max_bytes} bytes. For larger files, POST JSON to /api/v1/conversions "
            "and upload to the URL in the response"
        )
        raise body_error(error, text) from error
    return {name: values if len(values := form.getall(name)) > 1 else values[0] for name in form}


def _fields(form: dict[str, Any]) -> FormFields:
    fields = {name: value for name, value in form.items() if not (name in MAY_BE_EMPTY and value == "")}
    text = fields.pop("options", None) or "{}"
    if not isinstance(text, str):
        raise InvalidFields([FieldError("options", "must be given once, as JSON text")])
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
        content_type = None  # the declared type is only a hint; the content decides
    return FormUpload(path=path, filename=upload.filename, size_bytes=size_bytes, content_type=content_type)


async def _close(value: Any) -> None:
    if isinstance(value, UploadFile):
        await value.close()
    elif isinstance(value, list):
        for entry in value:
            await _close(entry)
