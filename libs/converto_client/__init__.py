"""Python client of a converto file service: `Converto` blocks, `AsyncConverto` is for asyncio.

with Converto("http://127.0.0.1:8080", "cvt_…") as client:
    client.convert("deck.pptx", to="pdf").wait().save("out/")
"""

from converto_client.admin import Admin, AsyncAdmin
from converto_client.async_client import AsyncConverto
from converto_client.async_conversion import AsyncConversion
from converto_client.client import Conversion, Converto
from converto_client.errors import (
    Busy,
    ClientError,
    Conflict,
    ConversionFailed,
    DependencyUnavailable,
    Forbidden,
    Gone,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    ProblemError,
    RequestInFlight,
    ResultLost,
    ServerUnreachable,
    SourceUnusable,
    TooLarge,
    TransferError,
    Unauthorized,
    UnsupportedConversion,
    UploadIncomplete,
    UploadLost,
    UploadRefused,
    WaitTimeout,
)
from converto_client.retry import Retry
from converto_client.transfers.resume import ResumeStore
from converto_core.version import __version__

__all__ = [
    "Admin",
    "AsyncAdmin",
    "AsyncConversion",
    "AsyncConverto",
    "Busy",
    "ClientError",
    "Conflict",
    "Conversion",
    "ConversionFailed",
    "Converto",
    "DependencyUnavailable",
    "Forbidden",
    "Gone",
    "IdempotencyMismatch",
    "InvalidRequest",
    "NotFound",
    "ProblemError",
    "RequestInFlight",
    "ResultLost",
    "ResumeStore",
    "Retry",
    "ServerUnreachable",
    "SourceUnusable",
    "TooLarge",
    "TransferError",
    "Unauthorized",
    "UnsupportedConversion",
    "UploadIncomplete",
    "UploadLost",
    "UploadRefused",
    "WaitTimeout",
    "__version__",
]
