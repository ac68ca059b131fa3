"""A real file service process checks access tokens by HTTP, while all its other servers are away (M17)."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from tests.issuer import AUDIENCE, JWKS, running_issuer
from tests.unit.fake_clock import until

NOWHERE = {
    "CONVERTO_MONGODB_URL": "mongodb://127.0.0.1:1",
    "CONVERTO_RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:1/",
    "CONVERTO_S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "CONVERTO_S3_ACCESS_KEY_ID": "nobody",
    "CONVERTO_S3_SECRET_ACCESS_KEY": "nothing",
}


@asynccontextmanager
async def file_service(**settings: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A process that is stopped by SIGTERM and must end cleanly."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, **NOWHERE, "PYTHONPATH": "libs:services", "CONVERTO_PORT": str(port), **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "file_service", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while b"service.listening" not in await process.stderr.readline():
                assert process.returncode is None
            yield client
    finally:
        if process.returncode is None:
            process.terminate()
        _, log = await process.communicate()
    assert (process.returncode, b"Traceback" in log) == (0, False), log.decode()


async def test_token_needs_no_database_and_the_issuer_only_once() -> None:
    async with (
        running_issuer() as issuer,
        file_service(CONVERTO_JWT_ISSUER=issuer.url, CONVERTO_JWT_AUDIENCE=AUDIENCE) as client,
    ):
        await until(lambda: issuer.requests[JWKS] > 0, within_s=10)
        issuer.is_away = True

        async def whoami(token: str) -> httpx2.Response:
            return await client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})

        async def is_accepted() -> bool:
            return (await whoami(issuer.token())).status_code == 200

        await until(is_accepted)
        refused = await whoami(issuer.token(exp=1))
        assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        assert (await client.get("/api/health/live")).status_code == 200


async def test_issuer_without_audience_stops_the_process_with_a_reason() -> None:
    environment = {**os.environ, "PYTHONPATH": "libs:services", "CONVERTO_JWT_ISSUER": "https://issuer.example"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "file_service", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, log = await process.communicate()

    assert process.returncode == 2
    assert b"CONVERTO_JWT_AUDIENCE is required" in log
    assert b"Traceback" not in log
