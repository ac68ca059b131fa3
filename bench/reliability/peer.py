"""The peer: a Celery program, configured as its documentation advises for work that must not be lost.

It is started as `celery -A bench.reliability.peer worker` and configured by `PEER_…` variables, because the worker and
its children are separate processes.
"""

import os
import subprocess
import time
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from celery import Celery
from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from bench.reliability.journal import EFFECT, RUN, note

WORK_S = 0.075
MOST_RETRIES = 10
OUTAGES = (PyMongoError, BotoCoreError, ClientError, OSError)

app = Celery("peer")
app.conf.update(
    broker_url=os.environ.get("PEER_BROKER_URL", ""),
    result_backend=os.environ.get("PEER_RESULT_URL", ""),
    # Publishing returns when the broker has stored the message, and is repeated if the broker did not answer.
    broker_transport_options={"confirm_publish": True},
    task_publish_retry=True,
    task_default_queue=os.environ.get("PEER_QUEUE", "peer"),
    task_default_exchange=f"{os.environ.get('PEER_QUEUE', 'peer')}.tasks",
    task_default_exchange_type="topic",  # with quorum queues, the broker delays retries only for topic exchanges
    task_default_routing_key=os.environ.get("PEER_QUEUE", "peer"),
    # The same queue type as converto's, or Celery's default.
    task_default_queue_type=os.environ.get("PEER_QUEUE_TYPE", "quorum"),
    # Consuming: acknowledge after the work; optionally reject when the process that did the work is lost.
    task_acks_late=True,
    task_reject_on_worker_lost=os.environ.get("PEER_REJECT_ON_LOST", "yes") == "yes",
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # Unavailable servers: wait for them without limit.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_heartbeat=5,
    result_backend_always_retry=True,
    # Disable what this benchmark does not use.
    worker_send_task_events=False,
    task_send_sent_event=False,
    timezone="UTC",
)


@app.task(name="peer.nothing")
def nothing(number: int) -> int:
    """Do nothing; Celery stores the result."""
    return number


@app.task(name="peer.nothing_once", ignore_result=True)
def nothing_once(record_id: str) -> None:
    """Do nothing, but claim a record before and complete it after, as converto does."""
    claimed = records().find_one_and_update(
        {"_id": record_id, "status": "pending"},
        {"$set": {"status": "processing", "started_at": time.time_ns() // 1_000_000}, "$inc": {"token": 1}},
        return_document=ReturnDocument.AFTER,
    )
    if claimed is not None:
        records().find_one_and_update(
            {"_id": record_id, "status": "processing", "token": claimed["token"]},
            {"$set": {"status": "completed", "completed_at": time.time_ns() // 1_000_000}},
        )


@app.task(name="peer.convert", autoretry_for=OUTAGES, retry_backoff=1, retry_backoff_max=10, max_retries=MOST_RETRIES)
def convert(job_id: str) -> str:
    """Read, work, write and complete the record once; safe to repeat, as the documentation asks."""
    note(RUN, job_id)
    found = records().find_one({"_id": job_id})
    if found is None or found["status"] == "completed":
        return "done before"
    records().update_one({"_id": job_id, "status": "pending"}, {"$set": {"status": "processing"}})
    body = bucket().get_object(Bucket=os.environ["CONVERTO_S3_BUCKET"], Key=source_key(job_id))["Body"].read()
    subprocess.run(["sleep", str(WORK_S)], check=True)
    bucket().put_object(Bucket=os.environ["CONVERTO_S3_BUCKET"], Key=f"peer/out/{job_id}", Body=body)
    shown = records().update_one(
        {"_id": job_id, "status": {"$in": ["pending", "processing"]}}, {"$set": {"status": "completed"}}
    )
    if shown.modified_count:
        note(EFFECT, job_id)
    return "done"


def source_key(job_id: str) -> str:
    """Return the object key of a job's small source; all jobs share sixteen sources."""
    return f"bench/in/{int(job_id[-1], 16)}"


@cache
def bucket() -> Any:
    """Return this process's S3 client, with short deadlines and its own retries."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["CONVERTO_S3_ENDPOINT_URL"],
        aws_access_key_id=os.environ["CONVERTO_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["CONVERTO_S3_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 3}),
    )


@cache
def database() -> Any:
    """Return the database of the results, through this process's client."""
    return MongoClient(
        os.environ["PEER_RESULT_URL"], serverSelectionTimeoutMS=3000, socketTimeoutMS=5000
    ).get_default_database()


def records() -> "Collection[dict[str, Any]]":
    """Return the collection with one document per job of `nothing_once` and `convert`."""
    found: Collection[dict[str, Any]] = database()["records"]
    return found
