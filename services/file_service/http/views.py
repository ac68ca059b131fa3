"""Turns stored records into response bodies."""

from collections.abc import Collection
from typing import Any

import msgspec

from converto_core.catalogue import NotAnswering, Slot, Worker
from converto_core.conversion.estimate import remaining
from converto_core.conversion.history import Entry, History
from converto_core.conversion.record import Conversion, Output, Status, readable_name
from converto_core.errors import ConversionError, ConvertoError, ResultLost
from converto_core.files.record import File
from file_service.http.schemas.catalogue import NotAnsweringBody, SlotBody, WorkerBody
from file_service.http.schemas.conversions import (
    AttemptBody,
    ConversionBody,
    ErrorBody,
    HistoryBody,
    HistoryEntryBody,
    Links,
    OutputBody,
    OutputLink,
    SecondsBody,
)
from file_service.http.schemas.files import FileBody


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is the prefix of all links, such as `/api/v1` or `https://convert.example.org/api/v1`."""

    base: str
    retention_ms: int

    def conversion(self, conversion: Conversion) -> ConversionBody:
        """Return the body of a conversion."""
        return conversion_body(conversion, base=self.base, retention_ms=self.retention_ms)


def file_body(file: File) -> FileBody:
    """Return the body of a file."""
    return msgspec.convert(file, FileBody, from_attributes=True)


def worker_body(worker: Worker, own_ids: Collection[str]) -> WorkerBody:
    """Return the body of a worker; only the conversions in `own_ids` are identified."""
    fields: dict[str, Any] = {name: getattr(worker, name) for name in WorkerBody.__struct_fields__}
    fields["running"] = [_slot_body(slot, own_ids) for slot in worker.running]
    fields["offers"] = sorted({offer.converter for offer in worker.offers})
    fields["not_answering"] = [_not_answering_body(entry) for entry in worker.not_answering]
    return WorkerBody(**fields)


def _not_answering_body(entry: NotAnswering) -> NotAnsweringBody:
    offer = entry.offer
    return NotAnsweringBody(
        converter=offer.converter,
        engine=offer.engine,
        family=offer.family,
        since=entry.since,
        error=entry.error,
        sources=offer.sources,
        targets=offer.targets,
    )


def conversion_body(conversion: Conversion, *, base: str, retention_ms: int) -> ConversionBody:
    """Return the body of a conversion, whose results are kept for `retention_ms`."""
    fields: dict[str, Any] = {
        name: getattr(conversion, name) for name in ConversionBody.__struct_fields__ if hasattr(conversion, name)
    }
    fields |= {
        "attempts_lost": conversion.lost,
        "append_file_ids": [entry.file_id for entry in conversion.appended],
        "errors": [msgspec.convert(entry, AttemptBody, from_attributes=True) for entry in conversion.errors],
        "error": _error(conversion),
        "outputs": [msgspec.convert(output, OutputBody, from_attributes=True) for output in conversion.outputs],
        "from_cache": conversion.cached_from is not None,
        "output_filename": _output_filename(conversion),
        "expires_at": _expiry(conversion, retention_ms),
        "remaining": _remaining(conversion),
        "links": _links(conversion, base),
    }
    return ConversionBody(**fields)


def history_body(history: History) -> HistoryBody:
    """Return the body of a history."""
    return HistoryBody(history=[_entry_body(entry) for entry in history.entries], missing=history.missing)


def _entry_body(entry: Entry) -> HistoryEntryBody:
    fields: dict[str, Any] = {name: getattr(entry, name, None) for name in HistoryEntryBody.__struct_fields__}
    return HistoryEntryBody(**fields | {"attempts_lost": entry.lost})


def output_link(output: Output, *, url: str, expires_at: int) -> OutputLink:
    """Return the body of an output with its download URL."""
    fields = {name: getattr(output, name) for name in OutputBody.__struct_fields__}
    return OutputLink(**fields, url=url, expires_at=expires_at)


def _slot_body(slot: Slot, own_ids: Collection[str]) -> SlotBody:
    shown = slot.conversion_id if slot.conversion_id in own_ids else None
    return SlotBody(conversion_id=shown, started_at=slot.started_at, pid=slot.pid)


def _error(conversion: Conversion) -> ErrorBody | None:
    if conversion.result_lost_at is not None:
        message = "The object store has lost a result of this conversion; a retry makes it again from the source"
        return ErrorBody(code=ResultLost.code, message=message, retryable=ResultLost.retryable)
    if conversion.error_code is None:
        return None
    message = conversion.error_message or ConversionError.title
    return ErrorBody(code=conversion.error_code, message=message, retryable=conversion.error_code in _RETRYABLE_CODES)


def _remaining(conversion: Conversion) -> SecondsBody | None:
    """Estimate as of the last heartbeat, so that an unchanged record keeps its body and ETag."""
    if conversion.status is not Status.PROCESSING or conversion.started_at is None:
        return None
    found = remaining(conversion.percent, (conversion.updated_at - conversion.started_at) / 1000)
    return None if found is None else msgspec.convert(found, SecondsBody, from_attributes=True)


def _output_filename(conversion: Conversion) -> str:
    if len(conversion.outputs) == 1:
        return conversion.outputs[0].filename
    return readable_name(conversion.filename, conversion.target_format)


def _expiry(conversion: Conversion, retention_ms: int) -> int | None:
    if conversion.status is Status.COMPLETED and conversion.expires_at is None and conversion.completed_at:
        return conversion.completed_at + retention_ms
    return conversion.expires_at


def _links(conversion: Conversion, base: str) -> Links:
    own = f"{base}/conversions/{conversion.id}"
    return Links(
        self=own,
        outputs=f"{own}/outputs",
        events=f"{own}/events",
        history=f"{own}/history",
        file=f"{base}/files/{conversion.file_id}",
    )


def _retryable_codes(error: type[ConvertoError]) -> set[str]:
    deeper = [_retryable_codes(child) for child in error.__subclasses__()]
    return set().union(*deeper, {error.code} if error.retryable else set())


# Codes passed to a more general error class, which the tree of classes does not contain.
_NARROWED = {"worker_lost", "upload_abandoned", "insufficient_storage", "internal_error"}
_RETRYABLE_CODES = frozenset(_retryable_codes(ConvertoError)) | _NARROWED
