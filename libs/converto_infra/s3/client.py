"""The boto3 client and the translation of its errors."""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import S3CopyFailedError

from converto_core.errors import ConvertoError, ObjectStoreUnavailable, SourceGone, UploadRefused
from converto_infra.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 3
CONNECTIONS = 24  # the number of threads that may call at the same time
GONE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
PARTS_DIFFER = "A part of the upload is missing, or differs from the one that was uploaded. Upload the file again."
REFUSED = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}
NO_UPLOAD = {"NoSuchUpload", "NoSuchKey"}  # not an answer without a code: it may come from a proxy, and costs an upload


def make_client(session: "boto3.session.Session", settings: Settings, endpoint_url: str | None) -> "S3Client":
    """A client for one endpoint; takes about 0.15 s of CPU."""
    secret = settings.s3_secret_access_key
    style: Any = {"addressing_style": settings.s3_addressing_style}
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            s3=style,
            request_checksum_calculation="when_required",  # other S3 servers do not know the newer default
            response_checksum_validation="when_required",
            connect_timeout=min(CONNECT_TIMEOUT_S, settings.s3_timeout_s),
            read_timeout=settings.s3_timeout_s,
            retries={"total_max_attempts": 1},  # the guard retries; nested retries multiply the wait
            max_pool_connections=CONNECTIONS,
        ),
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate driver errors to the errors of the port."""
    try:
        yield
    except ClientError as error:
        raise _translation(error) from error
    except (BotoCoreError, S3CopyFailedError) as error:
        raise ObjectStoreUnavailable(detail=f"{type(error).__name__}: {error}") from error


def _translation(error: ClientError) -> ConvertoError:
    code = code_of(error)
    detail = f"{error.operation_name}: {code}"
    if code in GONE:
        return SourceGone(detail=detail)
    if code in REFUSED:
        return UploadRefused(PARTS_DIFFER, detail=detail)
    unavailable = ObjectStoreUnavailable(detail=detail)
    # Often about one object: an upload that S3 refuses must not open the breaker for all the others.
    unavailable.has_answered = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == HTTPStatus.FORBIDDEN
    return unavailable


def code_of(error: ClientError) -> str:
    """The error code that the server sent, or the HTTP status where it sent none."""
    return str(error.response.get("Error", {}).get("Code", ""))
