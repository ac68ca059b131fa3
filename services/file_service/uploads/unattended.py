"""Confirms uploads that their client has not confirmed, for upload events and for the sweep."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from converto_core.errors import NotFound, SourceGone, UploadIncomplete, UploadRefused
from converto_infra.metrics import UPLOADS_REPORTED

ConfirmUpload = Callable[[str], Awaitable[object]]
"""Confirms the upload of the file with this id, as `Starter.confirm_upload` does without an owner."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Found(StrEnum):
    """What a look at an upload found."""

    CONFIRMED = "confirmed"
    """The bytes are there: by this call or by another, the file is uploaded and its conversions are on their way."""
    INCOMPLETE = "incomplete"
    """Bytes are missing. Each object that arrives later has its own event."""
    REFUSED = "refused"
    """Not the declared bytes. They stay until the client confirms, which tells it what is wrong, or the deadline."""
    GONE = "gone"
    """The file was deleted."""


async def confirm_unattended(confirm_upload: ConfirmUpload, file_id: str, *, by: str) -> Found:
    """Confirm the upload if its bytes have arrived; raises `DependencyUnavailable`, after which it can be repeated.

    `by` is for the metric: `event` or `sweep`.
    """
    found = await _confirm(confirm_upload, file_id)
    UPLOADS_REPORTED.labels(by, found).inc()
    return found


async def _confirm(confirm_upload: ConfirmUpload, file_id: str) -> Found:
    try:
        await confirm_upload(file_id)
    except UploadRefused as error:
        log.info("upload.refused", file_id=file_id, code=error.stable_code)
        return Found.REFUSED
    except (UploadIncomplete, SourceGone):  # the second if the object is deleted while its content is read
        return Found.INCOMPLETE
    except NotFound:
        return Found.GONE
    return Found.CONFIRMED
