"""Blocking calls on one SQS queue, for threads of a pool, and the translation of their errors."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from converto_core.errors import UploadEventsUnavailable
from converto_core.ports.upload_events import UploadMessage
from converto_infra.settings import Settings
from converto_infra.sqs.notification import Unreadable, created_keys

BATCH = 10
"""The API's limit for one call."""
WAIT_S = 5
"""How long a call waits for a message, also while the service stops; SQS allows 20, but 5 cost only 0.2 USD a month."""
HIDDEN_S = 60
"""How long a delivered message stays hidden: several times what a confirmation takes."""
CONNECT_TIMEOUT_S = 3
NOT_HIDDEN_NOW = {"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight"}
STALE_RECEIPT = {"ReceiptHandleIsInvalid", "InvalidParameterValue"}


class _Attributes(msgspec.Struct):
    deliveries: int = msgspec.field(name="ApproximateReceiveCount", default=1)


class _Message(msgspec.Struct, rename={"id": "MessageId", "receipt": "ReceiptHandle", "body": "Body"}):
    id: str
    receipt: str
    body: str
    attributes: _Attributes = msgspec.field(name="Attributes", default_factory=_Attributes)


class Queue:
    """One queue. Its methods block and raise botocore's errors or those of the port."""

    def __init__(self, settings: Settings, url: str, *, wait_s: int) -> None:
        """Take about 0.1 s of CPU. The queue of a bucket's events is in the bucket's region."""
        self._url, self._bucket, self._wait_s = url, settings.s3_bucket, wait_s
        address, secret = urlsplit(url), settings.s3_secret_access_key
        self._sqs: Any = boto3.session.Session().client(
            "sqs",
            endpoint_url=f"{address.scheme}://{address.netloc}",
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=Config(
                connect_timeout=min(CONNECT_TIMEOUT_S, settings.s3_timeout_s),
                read_timeout=wait_s + settings.s3_timeout_s,
                retries={"total_max_attempts": 1},  # the guard retries; nested retries multiply the wait
            ),
        )

    def receive(self) -> list[UploadMessage]:
        """Up to ten messages, as soon as there is one; none after `wait_s`."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=self._wait_s,
            VisibilityTimeout=HIDDEN_S,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [self._read(message) for message in answer.get("Messages") or ()]

    def delete(self, messages: Sequence[UploadMessage]) -> None:
        """Delete at most ten messages; those that are gone count as deleted."""
        entries = [{"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(messages)]
        answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
        # A stale receipt belongs to an earlier delivery: the message is gone, or it comes again.
        failed = [one for one in answer.get("Failed", []) if one.get("Code") not in STALE_RECEIPT]
        if failed:
            raise UploadEventsUnavailable(detail=f"{len(failed)} messages could not be deleted: {failed[0]}")

    def hide(self, message: UploadMessage, seconds: float) -> None:
        """Hide a message for whole seconds; does nothing if it is not ours any more."""
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=round(seconds)
            )
        except ClientError as error:
            if _code_of(error) not in NOT_HIDDEN_NOW | STALE_RECEIPT:
                raise

    def _read(self, untrusted: object) -> UploadMessage:
        """Never raises: an error would take the other messages of the answer with it."""
        try:
            message = msgspec.convert(untrusted, _Message, strict=False)  # SQS sends numbers as texts
        except (msgspec.ValidationError, ValueError) as error:
            return UploadMessage(id="", receipt="", defect=f"not a message of SQS: {error}")
        keys: tuple[str, ...] = ()
        defect = ""
        try:
            keys = created_keys(message.body, bucket=self._bucket)
        except Unreadable as error:
            defect = str(error)
        return UploadMessage(
            id=message.id, receipt=message.receipt, keys=keys, deliveries=message.attributes.deliveries, defect=defect
        )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate all errors to the error of the port."""
    try:
        yield
    except UploadEventsUnavailable:
        raise
    except ClientError as error:
        raise UploadEventsUnavailable(detail=f"{error.operation_name}: {_code_of(error)}") from error
    except BotoCoreError as error:
        raise UploadEventsUnavailable(detail=f"{type(error).__name__}: {error}") from error
    except Exception as error:  # botocore trusts the shape of an answer: a wrong one raises whatever Python raises
        raise UploadEventsUnavailable(detail=f"unreadable answer: {type(error).__name__}: {error}") from error


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
