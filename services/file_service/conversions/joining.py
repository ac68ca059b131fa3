"""Joins several uploaded files of one format into the source of one conversion."""

from collections.abc import Sequence

import msgspec

from converto_core.conversion.record import Appended, Conversion
from converto_core.errors import InvalidRequest
from converto_core.files.record import File, FileStatus
from file_service.conversions.offers import Plan
from file_service.uploads.files import Files


async def joined(
    files: Files, conversion: Conversion, append_file_ids: Sequence[str], *, file: File, plan: Plan | None
) -> Conversion:
    """Return the conversion with these files appended in order; raises `InvalidRequest` if they cannot be joined."""
    if plan is None or file.status is not FileStatus.UPLOADED:
        raise InvalidRequest(f'The first file, "{file.filename}", has not been uploaded; upload it before joining')
    if not plan.joins:
        target_format = plan.steps[-1].target_format
        raise InvalidRequest(f"{plan.source_format} files cannot be joined when converting to {target_format}")
    appended = [await _appended(files, conversion.owner, untrusted_id, plan) for untrusted_id in append_file_ids]
    name = _joined_name(file.filename, len(appended))
    return msgspec.structs.replace(conversion, appended=tuple(appended), filename=name)


async def _appended(files: Files, owner: str, untrusted_id: str, plan: Plan) -> Appended:
    file = await files.get(owner, untrusted_id)
    if file.status is not FileStatus.UPLOADED:
        raise InvalidRequest(f'"{file.filename}" has not been uploaded; upload it before joining')
    found = await files.identify(file)
    if found.name != plan.source_format:
        raise InvalidRequest(
            f'"{file.filename}" cannot be joined: it is a {found.title}, but the first file is {plan.source_format}'
        )
    return Appended(file.id, file.version)


def _joined_name(filename: str, more: int) -> str:
    """Turn `a.pdf` with two more files into `a-and-2-more.pdf`, so that the result is not mistaken for `a.pdf`."""
    stem, dot, extension = filename.rpartition(".")
    return f"{stem}-and-{more}-more{dot}{extension}" if stem else f"{filename}-and-{more}-more"
