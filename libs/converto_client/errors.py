"""All errors of the client: problem answers by their stable code, failed transfers, failed conversions.

ClientError
├── ProblemError                the server answered with a problem; one class per kind of code
│   ├── InvalidRequest          invalid_request, malformed_request, malformed_id, options_invalid
│   ├── Unauthorized            unauthorized, token_expired, or any other 401
│   ├── Forbidden               forbidden, insufficient_scope, or any other 403
│   ├── NotFound                not_found
│   ├── Conflict                conflict
│   │   ├── UploadIncomplete    upload_incomplete
│   │   │   └── UploadLost      upload_lost
│   │   └── RequestInFlight     request_in_flight
│   ├── Gone                    gone, source_gone, or any other 410
│   │   └── ResultLost          result_lost
│   ├── IdempotencyMismatch     idempotency_mismatch
│   ├── TooLarge                too_large
│   ├── UnsupportedConversion   unsupported_conversion
│   ├── UploadRefused           upload_refused, size_mismatch, checksum_mismatch, empty_file
│   ├── DependencyUnavailable   dependency_unavailable, database_unavailable, …
│   └── Busy                    overloaded, too_many_pending, or any other 429
├── ServerUnreachable           no answer after all attempts
├── SourceUnusable              the local file is missing, empty, unreadable or changed while it was read
├── TransferError               an upload to or a download from the object store failed
├── ConversionFailed            the conversion ended as failed, cancelled or expired
└── WaitTimeout                 the conversion did not end within the caller's timeout
"""

import msgspec

from converto_client.models import ConversionRecord, FieldError, Problem
from converto_core import errors as core


class ClientError(Exception):
    """Base of all client errors; `str(error)` is readable by people, `code` is stable."""

    code = "client_error"
    retryable = False


class ProblemError(ClientError):
    """The server rejected or failed a request; carries the fields of its problem document."""

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is the server's `Retry-After` in seconds, None without one."""
        super().__init__(problem.detail or problem.title or f"The server answered {problem.status}")
        self.status = problem.status
        self.code = problem.code
        self.retryable = problem.retryable
        self.errors: tuple[FieldError, ...] = problem.errors
        self.request_id = problem.request_id
        self.retry_after_s = retry_after_s


class InvalidRequest(ProblemError):
    """A field or option is missing, unknown or out of range; `errors` lists them."""


class Unauthorized(ProblemError):
    """The API key or access token is missing, unknown to this server, or no longer valid; `code` says which."""


class Forbidden(ProblemError):
    """The API key or access token is valid but lacks the permission."""


class NotFound(ProblemError):
    """The caller owns nothing with this id."""


class Conflict(ProblemError):
    """The current status of the record does not allow the request."""


class UploadIncomplete(Conflict):
    """The upload was confirmed before its bytes had arrived."""


class UploadLost(UploadIncomplete):
    """The object store no longer knew the upload, so its parts have to be sent again; uploading again does so."""


class RequestInFlight(Conflict):
    """A request with the same idempotency key is still running."""


class Gone(ProblemError):
    """The object store has lost the bytes that belong to the record."""


class ResultLost(Gone):
    """A result is missing or damaged; `retry` makes it again from the source."""


class IdempotencyMismatch(ProblemError):
    """An idempotency key was reused for a different request."""


class TooLarge(ProblemError):
    """The file exceeds the server's size limit."""


class UnsupportedConversion(ProblemError):
    """This server cannot convert the source format into the target format."""


class UploadRefused(ProblemError):
    """The uploaded bytes differ from the declared size, checksum or type."""


class DependencyUnavailable(ProblemError):
    """A dependency of the file service is unavailable; retry later."""


class Busy(ProblemError):
    """The server is overloaded, or the caller exceeded a limit; `retry_after_s` says when to retry."""


class ServerUnreachable(ClientError):
    """The file service or the object store could not be reached after all attempts."""

    code = "server_unreachable"
    retryable = True


class SourceUnusable(ClientError):
    """The local file is missing, empty, unreadable, or changed during the upload."""

    code = "source_unusable"


class TransferError(ClientError):
    """The object store refused a transfer, or the downloaded bytes do not match the record."""

    code = "transfer_failed"
    retryable = True


class ConversionFailed(ClientError):
    """The conversion ended without a result; `record` is its final record."""

    def __init__(self, record: ConversionRecord) -> None:
        """Code and message come from the record's error, else from its status."""
        super().__init__(record.error.message if record.error else f"The conversion was {record.status}")
        self.record = record
        self.code = record.error.code if record.error else record.status
        self.retryable = record.error.retryable if record.error else True


class WaitTimeout(ClientError):
    """The conversion did not end in time and continues on the server; `record` is its last known record."""

    code = "wait_timeout"
    retryable = True

    def __init__(self, record: ConversionRecord, timeout_s: float) -> None:
        """`timeout_s` is the caller's timeout in seconds."""
        super().__init__(f"The conversion is still {record.status} after {timeout_s:g} s; it continues on the server")
        self.record = record


_BY_CODE: dict[str, type[ProblemError]] = {
    core.InvalidRequest.code: InvalidRequest,
    core.BadOptions.code: InvalidRequest,
    "malformed_request": InvalidRequest,
    "malformed_id": InvalidRequest,
    core.Unauthorized.code: Unauthorized,
    core.Forbidden.code: Forbidden,
    core.InsufficientScope.code: Forbidden,
    core.NotFound.code: NotFound,
    core.Conflict.code: Conflict,
    core.UploadIncomplete.code: UploadIncomplete,
    core.UploadLost.code: UploadLost,
    core.RequestInFlight.code: RequestInFlight,
    core.Gone.code: Gone,
    core.ResultLost.code: ResultLost,
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
    core.IssuerUnavailable.code: DependencyUnavailable,
    core.Overloaded.code: Busy,
    core.TooManyPending.code: Busy,
    "too_many_requests": Busy,
}

_CODE_BY_STATUS = {
    401: core.Unauthorized.code,
    403: core.Forbidden.code,
    404: core.NotFound.code,
    409: core.Conflict.code,
    410: core.Gone.code,
    413: core.TooLarge.code,
    429: "too_many_requests",
    502: core.DependencyUnavailable.code,
    503: core.DependencyUnavailable.code,
    504: core.DependencyUnavailable.code,
}

_BY_STATUS: dict[int, type[ProblemError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    429: Busy,
    502: DependencyUnavailable,
    503: DependencyUnavailable,
    504: DependencyUnavailable,
}
"""For codes that are not listed above, those of newer servers among them."""


def problem_error(status: int, body: bytes, *, retry_after_s: float | None = None) -> ProblemError:
    """The error for an unsuccessful answer; without a problem document its code comes from the status."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem(detail=f"The server answered {status} without a reason")
    code = problem.code or _CODE_BY_STATUS.get(status, f"http_{status}")
    problem = msgspec.structs.replace(problem, status=status, code=code)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ProblemError)
    return kind(problem, retry_after_s=retry_after_s)
