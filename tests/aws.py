"""A bucket on moto whose new objects are reported to a queue, and settings for both."""

import json
from typing import Any

import boto3
from pydantic import SecretStr

from converto_core.ids import new_id
from converto_infra.settings import MIB, Settings

REGION = "eu-west-1"


class ReportedBucket:
    """A bucket with a queue of its events and a queue of their dead letters."""

    def __init__(self, endpoint_url: str, *, max_deliveries: int = 3) -> None:
        """Make all three."""
        self.endpoint_url, name = endpoint_url, f"bucket-{new_id()}"
        self.bucket = name
        session = boto3.session.Session(aws_access_key_id="key", aws_secret_access_key="secret", region_name=REGION)
        self.s3: Any = session.client("s3", endpoint_url=endpoint_url)
        self.sqs: Any = session.client("sqs", endpoint_url=endpoint_url)
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.dead_url = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        redrive = {"deadLetterTargetArn": self._arn(self.dead_url), "maxReceiveCount": max_deliveries}
        created = self.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(redrive)})
        self.queue_url: str = created["QueueUrl"]

    def report_uploads(self) -> None:
        """Send the events that `terraform/modules/upload-events` asks for; S3 sends its test event at once."""
        rules = [{"Name": "prefix", "Value": "t/"}, {"Name": "suffix", "Value": "/source"}]
        queue = {
            "QueueArn": self._arn(self.queue_url),
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )

    def report_uploads_by_eventbridge(self) -> None:
        """Send the events by a rule of EventBridge instead."""
        session = boto3.session.Session(aws_access_key_id="key", aws_secret_access_key="secret", region_name=REGION)
        events: Any = session.client("events", endpoint_url=self.endpoint_url)
        pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [self.bucket]}}}
        events.put_rule(Name=self.bucket, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=self.bucket, Targets=[{"Id": "queue", "Arn": self._arn(self.queue_url)}])
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )

    def settings(self, **changes: Any) -> Settings:
        """Settings of a file service that uses this bucket and this queue."""
        start: dict[str, Any] = {
            "s3_endpoint_url": self.endpoint_url,
            "s3_bucket": self.bucket,
            "s3_region": REGION,
            "s3_access_key_id": "key",
            "s3_secret_access_key": SecretStr("secret"),
            "upload_events_queue_url": self.queue_url,
            "part_size_bytes": 5 * MIB,
        }
        return Settings(**{**start, **changes})

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def count(self, url: str) -> int:
        """How many messages a queue holds, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def _arn(self, url: str) -> str:
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])
