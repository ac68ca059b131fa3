"""The tree of errors: each has a stable code, an HTTP status and a text that tells its reader what to do.

ConvertoError
├── RequestError                  bad_request: the caller has to change the request
│   ├── InvalidRequest            invalid_request
│   ├── NotFound                  not_found
│   ├── Unauthorized              unauthorized
│   │   └── InvalidToken          invalid_token (or token_expired, token_issuer_wrong … which name the failed rule)
│   ├── Forbidden                 forbidden
│   │   └── InsufficientScope     insufficient_scope
│   ├── Conflict                  conflict
│   │   ├── UploadIncomplete      upload_incomplete
│   │   │   └── UploadLost        upload_lost
│   │   ├── PasswordMissing       password_missing
│   │   └── RequestInFlight       request_in_flight
│   ├── Gone                      gone (or source_gone)
│   │   └── ResultLost            result_lost
│   ├── IdempotencyMismatch       idempotency_mismatch
│   ├── TooLarge                  too_large
│   ├── UnsupportedConversion     unsupported_conversion
│   ├── PasswordsNotAccepted      passwords_not_accepted: this installation has no key to seal them
│   ├── UploadRefused             upload_refused (or size_mismatch, checksum_mismatch, empty_file)
│   └── TooManyPending            too_many_pending
├── Overloaded                    overloaded: this server is at its limit of concurrent requests
├── DependencyUnavailable         dependency_unavailable: a required server is down; retry later
│   ├── RequestTimedOut           request_timed_out: the two seconds of a request are used up
│   ├── StoreUnavailable          database_unavailable
│   ├── BusUnavailable            broker_unavailable
│   ├── ObjectStoreUnavailable    object_store_unavailable
│   ├── UploadEventsUnavailable   upload_events_unavailable (never leaves the service)
│   └── IssuerUnavailable         issuer_unavailable
├── RecordUnreadable              record_unreadable: written by a newer version, or damaged
├── DuplicateKey                  duplicate_key: a unique value is taken (never leaves the service)
├── ForbiddenTransition           forbidden_transition: a status change that is not in the table; a bug
└── ConversionError               conversion_failed: why one conversion failed
    ├── BadSource                 source_invalid: the file is at fault; a retry cannot help
    │   ├── CorruptSource         source_corrupt
    │   ├── EncryptedSource       source_encrypted
    │   │   └── WrongPassword     password_wrong
    │   ├── MislabelledSource     source_type_mismatch
    │   ├── SourceTooLarge        source_too_large (pages, pixels, bytes)
    │   └── SourceGone            source_gone
    ├── BadOptions                options_invalid
    ├── PasswordUnreadable        password_unreadable: sealed with a key that this worker lacks; a retry may help
    ├── SourceUnreadable          source_unreadable: the object store answers, but not for this file; a retry may help
    ├── ResultNotStored           result_not_stored: the object store answers, but does not take this result; likewise
    └── EngineError               engine_failed: the program is at fault; a retry may help
        ├── EngineMissing         engine_missing
        ├── EngineElsewhere       engine_elsewhere: missing here, but another running worker has it
        ├── EngineNotAnswering    engine_not_answering: installed, but slow or crashing; it is asked again
        ├── EngineCrashed         engine_crashed
        ├── EngineTimeout         engine_timeout
        ├── LimitExceeded         engine_limit_exceeded
        └── OutputInvalid         output_invalid
"""

from collections.abc import Sequence
from typing import ClassVar, TypedDict, Unpack


class _Traits(TypedDict, total=False):
    """Class keywords of an error; a keyword left out is inherited."""

    code: str
    http_status: int
    title: str
    retryable: bool


class ConvertoError(Exception):
    """Base of all errors that users may see; `str(error)` is the public text, free of paths and secrets."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    title: ClassVar[str] = "An internal error occurred"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, **traits: Unpack[_Traits]) -> None:
        """Set the class attributes given as class keywords."""
        super().__init_subclass__()
        for name, value in traits.items():
            setattr(cls, name, value)

    def __init__(self, message: str | None = None, *, code: str | None = None, detail: str = "") -> None:
        """`message` is the public text (default: `title`), `code` a narrower code, `detail` goes to the log only."""
        super().__init__(message or self.title)
        self.public_message = message or self.title
        self.stable_code = code or self.code
        self.detail = detail


class RequestError(ConvertoError, code="bad_request", http_status=400, title="The request cannot be processed"):
    """Raised when the request has to change before it can succeed."""


class InvalidRequest(RequestError, code="invalid_request", http_status=422, title="The request is invalid"):
    """Raised when a field is missing, unknown, of the wrong type or out of range."""


class NotFound(RequestError, code="not_found", http_status=404, title="No record with this id was found"):
    """Raised when no record with this id belongs to the caller."""


class Unauthorized(RequestError, code="unauthorized", http_status=401, title="A valid API key or token is required"):
    """Raised when the API key or token is missing, unknown or invalid."""

    is_missing: bool = False
    """True when the request had no credentials at all."""


class InvalidToken(Unauthorized, code="invalid_token", title="The access token is not valid"):
    """Raised when an access token breaks a rule; the narrower code says which."""


class Forbidden(RequestError, code="forbidden", http_status=403, title="The request is not permitted"):
    """Raised when the caller is known but lacks the permission."""

    required_scope: str = ""
    """The scope that would permit the request, as the issuer names it."""


class InsufficientScope(Forbidden, code="insufficient_scope", title="The access token lacks a scope"):
    """Raised when an access token is valid but was issued without the scope of the route."""


class Conflict(RequestError, code="conflict", http_status=409, title="The current status does not allow this request"):
    """Raised when the current status of the record does not allow the request."""


class UploadIncomplete(
    Conflict, code="upload_incomplete", retryable=True, title="The upload is not complete yet; confirm it again later"
):
    """Raised when an upload is confirmed before its bytes have arrived."""


class UploadLost(
    UploadIncomplete,
    code="upload_lost",
    retryable=False,
    title="The object store has lost this upload with all its parts, so they have to be sent again. "
    "GET /api/v1/files/{id}/parts begins a new upload",
):
    """Raised when the object store does not know a multipart upload: it was restarted, or has aborted the upload."""


class PasswordMissing(
    Conflict,
    code="password_missing",
    title="The password of this conversion was deleted when it ended. Send it again with the retry: "
    '{"password": "…"}, or create a new conversion',
):
    """Raised when a conversion that needed a password is retried without one."""


class RequestInFlight(
    Conflict, code="request_in_flight", retryable=True, title="The same request is still being processed; retry later"
):
    """Raised while another request with the same idempotency key is being processed."""


class Gone(RequestError, code="gone", http_status=410, title="The bytes are no longer in the object store"):
    """Raised when a record exists, but the object store has lost the bytes that belong to it."""


class ResultLost(
    Gone,
    code="result_lost",
    retryable=True,
    title="The result is no longer in the object store, or it is damaged there",
):
    """Raised when an output is missing or damaged; a retry of the conversion makes it again from the source."""

    errors: Sequence[tuple[str, str]] = ()
    """The lost outputs: a pointer into the list of outputs, and what is wrong."""


class IdempotencyMismatch(
    RequestError,
    code="idempotency_mismatch",
    http_status=422,
    title="This Idempotency-Key was used for a different request; send a new key",
):
    """Raised when an idempotency key is reused with a different body."""


class TooLarge(RequestError, code="too_large", http_status=413, title="The file is too large"):
    """Raised when a body or the declared size of a file exceeds its limit."""


class UnsupportedConversion(
    RequestError, code="unsupported_conversion", http_status=422, title="This conversion is not supported"
):
    """Raised when no chain of converters leads from the source format to the target format."""


class PasswordsNotAccepted(
    RequestError,
    code="passwords_not_accepted",
    http_status=422,
    title="This installation cannot take passwords, because it has no key to protect them. Remove the password from "
    "the file, or ask your administrator to set CONVERTO_SEALING_KEY",
):
    """Raised for a request with a password where no sealing key is set."""


class UploadRefused(
    RequestError, code="upload_refused", http_status=422, title="The uploaded bytes differ from what was declared"
):
    """Raised when the uploaded bytes differ from what was declared."""


class TooManyPending(
    RequestError,
    code="too_many_pending",
    http_status=429,
    retryable=True,
    title="You have reached the limit of pending conversions. Please retry when some of them have finished",
):
    """Raised when an owner has reached the limit of pending conversions."""

    retry_after_s: float = 10.0


class Overloaded(
    ConvertoError, code="overloaded", http_status=503, retryable=True, title="The server is busy. Please retry shortly"
):
    """Raised instead of processing a request when the server has reached its concurrency limit."""

    retry_after_s: float = 1.0


class DependencyUnavailable(
    ConvertoError,
    code="dependency_unavailable",
    http_status=503,
    retryable=True,
    title="A service that converto depends on is not reachable. Please retry shortly",
):
    """Raised when a required server misses its deadline; `retry_after_s` is when a retry may succeed.

    `has_answered` marks the refusal of one call, such as access to one object: others may still succeed.
    `is_client_broken` marks a fault of the driver that only a new client ends.
    """

    retry_after_s: float = 1.0
    has_answered: bool = False
    is_client_broken: bool = False


class StoreUnavailable(
    DependencyUnavailable, code="database_unavailable", title="The database is not reachable. Please retry shortly"
):
    """Raised when the database misses its deadline."""


class RequestTimedOut(
    DependencyUnavailable,
    code="request_timed_out",
    title="The request took too long, because converto is busy or a service that it depends on is slow. Please retry "
    "shortly, with the same Idempotency-Key",
):
    """Raised when the time of a request is used up before its response has begun."""


class BusUnavailable(
    DependencyUnavailable, code="broker_unavailable", title="The message broker is not reachable. Please retry shortly"
):
    """Raised when the broker does not confirm in time."""


class ObjectStoreUnavailable(
    DependencyUnavailable,
    code="object_store_unavailable",
    title="The object store is not reachable. Please retry shortly",
):
    """Raised when the object store misses its deadline."""


class UploadEventsUnavailable(
    DependencyUnavailable,
    code="upload_events_unavailable",
    title="The queue of upload events is not reachable. Please retry shortly",
):
    """Raised when the queue of the object store's events misses its deadline."""


class IssuerUnavailable(
    DependencyUnavailable,
    code="issuer_unavailable",
    title="The access token cannot be checked, because its issuer is not reachable. Please retry shortly",
):
    """Raised when the issuer's keys are needed and cannot be fetched."""


class RecordUnreadable(
    ConvertoError,
    code="record_unreadable",
    title="This record was written by a newer version of converto or is damaged, so this server cannot read it. "
    "Ask your administrator to update the server or to repair the record",
):
    """Raised for one record by its id; lists leave it out."""


class DuplicateKey(ConvertoError, code="duplicate_key", http_status=409):
    """Raised by a store when a unique value is taken."""


class ForbiddenTransition(ConvertoError, code="forbidden_transition"):
    """Raised when code asks for a status change that the transition table does not allow."""


class ConversionError(ConvertoError, code="conversion_failed", http_status=422, title="The conversion failed"):
    """Base of the reasons why one conversion fails."""


class BadSource(ConversionError, code="source_invalid", title="The file cannot be converted"):
    """Raised when the source file cannot be converted and no retry can help."""


class CorruptSource(
    BadSource,
    code="source_corrupt",
    title="The file is damaged or incomplete. Please check that it opens on your computer and upload it again",
):
    """Raised when the file is damaged, truncated or empty."""


class EncryptedSource(
    BadSource,
    code="source_encrypted",
    title="The file is password-protected. Please create the conversion again with the option password, or remove "
    "the password and upload the file again",
):
    """Raised when the file needs a password and none was given."""


class WrongPassword(
    EncryptedSource,
    code="password_wrong",
    title="The password does not open the file. Please check it and create the conversion again",
):
    """Raised when the file does not open with the password that was given."""


class MislabelledSource(
    BadSource, code="source_type_mismatch", title="The content of the file does not match its name"
):
    """Raised when the content is of another type than the file name claims."""


class SourceTooLarge(BadSource, code="source_too_large", title="The file has more pages or pixels than allowed"):
    """Raised when the file has more pages, pixels or bytes than allowed."""


class SourceGone(BadSource, code="source_gone", title="The source file no longer exists. Please upload it again"):
    """Raised when the source is no longer in the object store."""


class BadOptions(ConversionError, code="options_invalid", title="The options do not fit this file"):
    """Raised when an option does not fit this file, such as a page range past its end."""


class PasswordUnreadable(
    ConversionError,
    code="password_unreadable",
    retryable=True,
    title="The password of this conversion cannot be read by the worker, because the key that protects it is missing "
    "there or was replaced. Please retry with the password; if it fails again, ask your administrator to set the same "
    "CONVERTO_SEALING_KEY for all services",
):
    """Raised when no key of this worker opens a sealed password."""


class SourceUnreadable(
    ConversionError,
    code="source_unreadable",
    retryable=True,
    title="The object store is running but cannot read the source file, which may be damaged or blocked there. Please "
    "retry later; if it fails again, upload the file again or ask your administrator to check the object store",
):
    """Raised when the object store answers, but calls about the source have failed for long."""


class ResultNotStored(
    ConversionError,
    code="result_not_stored",
    retryable=True,
    title="The object store is running but refuses to store the result; it may be full, or deny the access. Please "
    "retry later; if it fails again, ask your administrator to check the object store",
):
    """Raised when the object store answers, but uploads of a result have failed for long."""


class EngineError(
    ConversionError, code="engine_failed", retryable=True, title="The conversion program failed on this file"
):
    """Base of failures of the conversion program itself; a retry may succeed."""


class EngineMissing(EngineError, code="engine_missing", title="The conversion program is not installed on this worker"):
    """Raised when the program is not installed on this worker."""


class EngineElsewhere(
    EngineError,
    code="engine_elsewhere",
    title="The conversion program is installed on another worker, which will run it",
):
    """Raised when this worker lacks a program of the plan that another running worker has; nothing has failed."""


class EngineNotAnswering(
    EngineError,
    code="engine_not_answering",
    title="The conversion program is installed on this worker but does not answer yet; it is asked again",
):
    """Raised when a program that is installed has not said which version it is; `since` is ms since the epoch."""

    since: int = 0


class EngineCrashed(EngineError, code="engine_crashed", title="The conversion program crashed on this file"):
    """Raised when the program was killed by a signal or exited with a status that it uses for crashes."""


class EngineTimeout(
    EngineError, code="engine_timeout", retryable=False, title="The conversion took longer than is allowed for one file"
):
    """Raised when the program exceeded its wall-clock limit."""


class LimitExceeded(
    EngineError,
    code="engine_limit_exceeded",
    retryable=False,
    title="The conversion needed more memory, CPU time or disk space than is allowed for one file",
):
    """Raised when the program exceeded its limit of CPU seconds, memory or output size."""


class OutputInvalid(EngineError, code="output_invalid", title="The conversion program produced an unusable result"):
    """Raised when the program reported success but its output fails verification."""
