"""The one tree of errors: what failed, why, and what to do, with a stable code that never changes its meaning.

ConvertoError
├── RequestError                  the caller can mend it
│   ├── InvalidRequest            422 invalid_request
│   ├── NotFound                  404 not_found
│   ├── Unauthorized              401 unauthorized
│   ├── Forbidden                 403 forbidden
│   ├── Conflict                  409 conflict
│   │   ├── UploadIncomplete      409 upload_incomplete
│   │   └── RequestInFlight       409 request_in_flight
│   ├── IdempotencyMismatch       422 idempotency_mismatch
│   ├── TooLarge                  413 too_large
│   ├── UnsupportedConversion     422 unsupported_conversion
│   ├── UploadRefused             422 upload_refused (size_mismatch, checksum_mismatch, empty_file)
│   └── TooManyPending            429 too_many_pending
├── Overloaded                    503 overloaded: more requests at once than this server takes
├── DependencyUnavailable         503: a server we need is away; worth another try
│   ├── StoreUnavailable          database_unavailable
│   ├── BusUnavailable            broker_unavailable
│   └── ObjectStoreUnavailable    object_store_unavailable
├── DuplicateKey                  a unique value is taken (never leaves the service)
├── ForbiddenTransition           a status change that the table does not know: a bug
└── ConversionError               why one conversion failed
    ├── BadSource                 the file is at fault; trying again cannot help
    │   ├── CorruptSource         source_corrupt
    │   ├── EncryptedSource       source_encrypted
    │   ├── MislabelledSource     source_type_mismatch
    │   ├── SourceTooLarge        source_too_large (pages, pixels, bytes)
    │   └── SourceGone            source_gone
    ├── BadOptions                options_invalid
    └── EngineError               the program is at fault; another try may help
        ├── EngineMissing         engine_missing
        ├── EngineCrashed         engine_crashed
        ├── EngineTimeout         engine_timeout
        ├── LimitExceeded         engine_limit_exceeded
        └── OutputInvalid         output_invalid
"""

from typing import ClassVar


class ConvertoError(Exception):
    """Base of all errors that a user may see; `str(error)` is the public text, free of paths and secrets."""

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, code: str | None = None, detail: str = "") -> None:
        """`message` is for the user, `code` narrows the class's code, `detail` is for the log only."""
        super().__init__(message or self.title)
        self.public_message = message or self.title
        self.stable_code = code or self.code
        self.detail = detail


class RequestError(ConvertoError):
    """Raised when the request itself has to change before it can succeed."""

    code = "bad_request"
    title = "The request cannot be served"
    http_status = 400


class InvalidRequest(RequestError):
    """Raised when a field is missing, unknown, of the wrong type or out of range."""

    code = "invalid_request"
    title = "The request is not valid"
    http_status = 422


class NotFound(RequestError):
    """Raised when nothing with this id belongs to the caller."""

    code = "not_found"
    title = "Nothing with this id was found"
    http_status = 404


class Unauthorized(RequestError):
    """Raised when the API key is missing or not known."""

    code = "unauthorized"
    title = "A valid API key is needed"
    http_status = 401


class Forbidden(RequestError):
    """Raised when the API key is known but may not do this."""

    code = "forbidden"
    title = "This API key may not do this"
    http_status = 403


class Conflict(RequestError):
    """Raised when the record's present status does not allow the request."""

    code = "conflict"
    title = "The present status does not allow this"
    http_status = 409


class UploadIncomplete(Conflict):
    """Raised when an upload is confirmed before its bytes have arrived."""

    code = "upload_incomplete"
    title = "The upload has not arrived yet"
    retryable = True


class RequestInFlight(Conflict):
    """Raised when the same idempotency key is being served at this moment."""

    code = "request_in_flight"
    title = "The same request is being served right now"
    retryable = True


class IdempotencyMismatch(RequestError):
    """Raised when an idempotency key comes back with another body."""

    code = "idempotency_mismatch"
    title = "This Idempotency-Key was used for a different request"
    http_status = 422


class TooLarge(RequestError):
    """Raised when a body or a declared file is over its limit."""

    code = "too_large"
    title = "The file is too large"
    http_status = 413


class UnsupportedConversion(RequestError):
    """Raised when no chain of converters leads from the source to the target."""

    code = "unsupported_conversion"
    title = "This conversion is not supported"
    http_status = 422


class UploadRefused(RequestError):
    """Raised when the uploaded bytes are not what was declared."""

    code = "upload_refused"
    title = "The upload is not what was declared"
    http_status = 422


class TooManyPending(RequestError):
    """Raised when an owner has as many conversions waiting for a worker as one may have."""

    code = "too_many_pending"
    title = "Too many of your conversions are waiting already; please go on when some have ended"
    http_status = 429
    retryable = True
    retry_after_s: float = 10.0


class Overloaded(ConvertoError):
    """Raised instead of serving a request when as many are being served as this server takes at once."""

    code = "overloaded"
    title = "The server is busy; please try again shortly"
    http_status = 503
    retryable = True
    retry_after_s: float = 1.0


class DependencyUnavailable(ConvertoError):
    """Raised when a server that converto needs does not answer in time; `retry_after_s` is when a try may succeed."""

    code = "dependency_unavailable"
    title = "A service that converto needs is not reachable; please try again shortly"
    http_status = 503
    retryable = True
    retry_after_s: float = 1.0


class StoreUnavailable(DependencyUnavailable):
    """Raised when the database does not answer in time."""

    code = "database_unavailable"
    title = "The database is not reachable; please try again shortly"


class BusUnavailable(DependencyUnavailable):
    """Raised when the broker does not confirm in time."""

    code = "broker_unavailable"
    title = "The message broker is not reachable; please try again shortly"


class ObjectStoreUnavailable(DependencyUnavailable):
    """Raised when the object store does not answer in time."""

    code = "object_store_unavailable"
    title = "The object store is not reachable; please try again shortly"


class DuplicateKey(ConvertoError):
    """Raised by a store when a unique value is already taken."""

    code = "duplicate_key"
    http_status = 409


class ForbiddenTransition(ConvertoError):
    """Raised when code asks for a status change that the table of transitions does not allow."""

    code = "forbidden_transition"


class ConversionError(ConvertoError):
    """Base of the reasons for which one conversion fails."""

    code = "conversion_failed"
    title = "The conversion failed"
    http_status = 422


class BadSource(ConversionError):
    """Raised when the source file cannot be converted, however often we try."""

    code = "source_invalid"
    title = "The file cannot be converted"


class CorruptSource(BadSource):
    """Raised when the file is damaged, truncated or empty."""

    code = "source_corrupt"
    title = "The file is damaged or incomplete. Please check that it opens on your computer and upload it again"


class EncryptedSource(BadSource):
    """Raised when the file needs a password."""

    code = "source_encrypted"
    title = "The file is password protected. Please remove the password and upload it again"


class MislabelledSource(BadSource):
    """Raised when the content is not of the type that the file's name claims."""

    code = "source_type_mismatch"
    title = "The file's content is not what its name says"


class SourceTooLarge(BadSource):
    """Raised when the file has more pages, pixels or bytes than is allowed."""

    code = "source_too_large"
    title = "The file has more pages or pixels than is allowed"


class SourceGone(BadSource):
    """Raised when the source is no longer in the object store."""

    code = "source_gone"
    title = "The source file is no longer there. Please upload it again"


class BadOptions(ConversionError):
    """Raised when an option does not fit this file, such as a page range past its end."""

    code = "options_invalid"
    title = "The options do not fit this file"


class EngineError(ConversionError):
    """Base of failures of the conversion program itself; another attempt may succeed."""

    code = "engine_failed"
    title = "The conversion program failed on this file"
    retryable = True


class EngineMissing(EngineError):
    """Raised when the program is not installed on this worker."""

    code = "engine_missing"
    title = "The conversion program is not installed on this worker"


class EngineCrashed(EngineError):
    """Raised when the program ended by a signal or with an exit status it gives for crashes."""

    code = "engine_crashed"
    title = "The conversion program crashed on this file"


class EngineTimeout(EngineError):
    """Raised when the program did not end within its wall-clock limit."""

    code = "engine_timeout"
    title = "The conversion took longer than is allowed for one file"
    retryable = False


class LimitExceeded(EngineError):
    """Raised when the program ran into its limit of CPU seconds, memory or output size."""

    code = "engine_limit_exceeded"
    title = "The conversion needed more memory, time or disk than is allowed for one file"
    retryable = False


class OutputInvalid(EngineError):
    """Raised when the program said it succeeded but its output does not pass the check."""

    code = "output_invalid"
    title = "The conversion program produced an unusable result"
