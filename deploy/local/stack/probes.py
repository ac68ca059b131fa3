"""Health checks for each part of the stack, made the way its clients use it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import boto3
import httpx2
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

ONE_TRY_S = 10.0  # a server that is not there refuses at once; on a busy machine an answer takes seconds


class NotHealthy(Exception):
    """A health check failed; the message says why."""


async def check_port(port: int) -> None:
    """Check that this port of 127.0.0.1 accepts connections."""
    try:
        async with asyncio.timeout(ONE_TRY_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
    except OSError as error:
        raise NotHealthy(str(error)) from error


async def check_rabbitmq(url: str) -> None:
    """Check that the broker accepts our user. The port goes first: the client library logs errors for a closed one."""
    await check_port(urlsplit(url).port or 5672)
    try:
        connection = await aio_pika.connect(url, timeout=ONE_TRY_S)
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        raise NotHealthy(str(error)) from error
    await connection.close()


async def check_mongo(url: str) -> None:
    """Check that the database answers a ping."""
    milliseconds = int(ONE_TRY_S * 1000)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, serverSelectionTimeoutMS=milliseconds)
    try:
        await client.admin.command("ping")
    except PyMongoError as error:
        raise NotHealthy(str(error)) from error
    finally:
        await client.close()


async def check_s3(settings: Mapping[str, str]) -> None:
    """Check that the object store lists the bucket with our key."""
    try:
        await asyncio.to_thread(_list_bucket, settings)
    except (BotoCoreError, ClientError) as error:
        raise NotHealthy(str(error)) from error


def _list_bucket(settings: Mapping[str, str]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=settings["CONVERTO_S3_ENDPOINT_URL"],
        aws_access_key_id=settings["CONVERTO_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["CONVERTO_S3_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(
            connect_timeout=ONE_TRY_S,
            read_timeout=ONE_TRY_S,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
    try:
        client.list_objects_v2(Bucket=settings["CONVERTO_S3_BUCKET"], MaxKeys=1)
    finally:
        client.close()


async def check_api(url: str) -> None:
    """Check that the file service and its dependencies are ready; a fault in one queue does not count."""
    health = await _get(f"{url}/api/health/ready")
    away = [name for name, check in health.get("checks", {}).items() if check.get("status") != "ok"]
    if away or health.get("status") not in ("ok", "degraded"):
        raise NotHealthy(f"it answers {health}")


async def check_worker(url: str, api_key: str, pid: int) -> None:
    """Check that this worker process has registered at the file service."""
    answer = await _get(f"{url}/api/v1/workers", api_key=api_key)
    if pid not in {worker["pid"] for worker in answer["workers"]}:
        raise NotHealthy(f"pid {pid} has not registered at the file service yet")


async def _get(url: str, *, api_key: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with httpx2.AsyncClient(timeout=ONE_TRY_S, trust_env=False, headers=headers) as client:
            response = await client.get(url)
            response.raise_for_status()
            return dict(response.json())
    except (httpx2.HTTPError, ValueError) as error:
        raise NotHealthy(str(error) or type(error).__name__) from error
