"""What can go wrong for a client: answers of the server by their stable code, broken transfers, failed conversions.

ClientError
├── ProblemError                the server answered with a problem; one class per kind of code
│   ├── InvalidRequest          invalid_request, malformed_request, malformed_id, options_invalid
│   ├── Unauthorized            unauthorized
│   ├── Forbidden               forbidden
│   ├── NotFound                not_found
│   ├── Conflict                conflict
│   │   ├── UploadIncomplete    upload_incomplete
│   │   └── RequestInFlight     request_in_flight
│   ├── IdempotencyMismatch     idempotency_mismatch
│   ├── TooLarge                too_large
│   ├── UnsupportedConversion   unsupported_conversion
│   ├── UploadRefused           upload_refused, size_mismatch, checksum_mismatch, empty_file
│   ├── DependencyUnavailable   dependency_unavailable, database_unavailable, …
│   └── Busy                    overloaded, too_many_pending, or any other 429
├── ServerUnreachable           no answer at all, however often we tried
├── SourceUnusable              the local file is missing, empty, unreadable or changed while it was read
├── TransferError               bytes did not get to or from the object store
├── ConversionFailed            the conversion ended as failed, cancelled or expired
└── WaitTimeout                 the conversion did not end in the time the caller gave
"""

import msgspec

from converto_client.models import ConversionRecord, FieldError, Problem
from converto_core import errors as core


class ClientError(Exception):
    """Base of all errors of the client; `str(error)` is a sentence for people, `code` never changes its meaning."""

    code = "client_error"
    retryable = False


class ProblemError(ClientError):
    """The server refused or could not serve a request; carries everything its problem document said."""

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is what the server asked us to wait, in seconds; None when it did not say."""
        super().__init__(problem.detail or problem.title or f"The server answered {problem.status}")
        self.status = problem.status
        self.code = problem.code
        self.retryable = problem.retryable
        self.errors: tuple[FieldError, ...] = problem.errors
        self.request_id = problem.request_id
        self.retry_after_s = retry_after_s


class InvalidRequest(ProblemError):
    """A field or an option is missing, unknown or out of range; `errors` says which."""


class Unauthorized(ProblemError):
    """The API key is missing or not known to this server."""


class Forbidden(ProblemError):
    """The API key is known but may not do this."""


class NotFound(ProblemError):
    """Nothing with this id belongs to the caller."""


class Conflict(ProblemError):
    """The present status of the record does not allow this."""


class UploadIncomplete(Conflict):
    """The upload was confirmed before its bytes had arrived."""


class RequestInFlight(Conflict):
    """The same request is being served at this moment."""


class IdempotencyMismatch(ProblemError):
    """An idempotency key was used again for a different request."""


class TooLarge(ProblemError):
    """The file is larger than this server accepts."""


class UnsupportedConversion(ProblemError):
    """No way leads from the source format to the target format on this server."""


class UploadRefused(ProblemError):
    """The uploaded bytes are not what was declared."""


class DependencyUnavailable(ProblemError):
    """A server behind the file service is away; worth another try."""


class Busy(ProblemError):
    """The server has enough to do, in all or for this caller; it said when to come back."""


class ServerUnreachable(ClientError):
    """The file service or the object store could not be reached, however often we tried."""

    code = "server_unreachable"
    retryable = True


class SourceUnusable(ClientError):
    """The local file is missing, empty, unreadable, or changed while it was being uploaded."""

    code = "source_unusable"


class TransferError(ClientError):
    """The object store refused bytes, or what arrived is not what was recorded."""

    code = "transfer_failed"
    retryable = True


class ConversionFailed(ClientError):
    """The conversion ended without a result; `record` is how it ended."""

    def __init__(self, record: ConversionRecord) -> None:
        """Takes code and words from the record, or says in which status it ended."""
        super().__init__(record.error.message if record.error else f"The conversion was {record.status}")
        self.record = record
        self.code = record.error.code if record.error else record.status
        self.retryable = record.error.retryable if record.error else True


class WaitTimeout(ClientError):
    """The conversion did not end in time; it goes on at the server and `record` is how it stood."""

    code = "wait_timeout"
    retryable = True

    def __init__(self, record: ConversionRecord, timeout_s: float) -> None:
        """`timeout_s` is how long the caller was ready to wait, in seconds."""
        super().__init__(f"The conversion is still {record.status} after {timeout_s:g} s; it goes on at the server")
        self.record = record


_BY_CODE: dict[str, type[ProblemError]] = {
    core.InvalidRequest.code: InvalidRequest,
    core.BadOptions.code: InvalidRequest,
    "malformed_request": InvalidRequest,
    "malformed_id": InvalidRequest,
    core.Unauthorized.code: Unauthorized,
    core.Forbidden.code: Forbidden,
    core.NotFound.code: NotFound,
    core.Conflict.code: Conflict,
    core.UploadIncomplete.code: UploadIncomplete,
    core.RequestInFlight.code: RequestInFlight,
    core.IdempotencyMismatch.code: IdempotencyMismatch,
    core.TooLarge.code: TooLarge,
    core.UnsupportedConversion.code: UnsupportedConversion,
    core.UploadRefused.code: UploadRefused,
    "size_mismatch": UploadRefused,
    "checksum_mismatch": UploadRefused,
    "empty_file": UploadRefused,
    core.DependencyUnavailable.code: DependencyUnavailable,
    core.StoreUnavailable.code: DependencyUnavailable,
    core.BusUnavailable.code: DependencyUnavailable,
    core.ObjectStoreUnavailable.code: DependencyUnavailable,
    core.Overloaded.code: Busy,
    core.TooManyPending.code: Busy,
    "too_many_requests": Busy,
}

_CODE_BY_STATUS = {
    401: core.Unauthorized.code,
    403: core.Forbidden.code,
    404: core.NotFound.code,
    409: core.Conflict.code,
    413: core.TooLarge.code,
    429: "too_many_requests",
    502: core.DependencyUnavailable.code,
    503: core.DependencyUnavailable.code,
    504: core.DependencyUnavailable.code,
}


def problem_error(status: int, body: bytes, *, retry_after_s: float | None = None) -> ProblemError:
    """The error for an answer that is no success; one without a problem document gets a code by its status."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem(detail=f"The server answered {status} without saying why")
    code = problem.code or _CODE_BY_STATUS.get(status, f"http_{status}")
    problem = msgspec.structs.replace(problem, status=status, code=code)
    return _BY_CODE.get(code, ProblemError)(problem, retry_after_s=retry_after_s)
