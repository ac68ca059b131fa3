"""A file service that accepts the tokens of a local issuer, reached by HTTP."""

import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from converto_infra.oidc.issuer import HttpIssuer
from tests.issuer import AUDIENCE, JWKS, LocalIssuer, running_issuer
from tests.unit.fake_clock import until
from tests.unit.file_service.conftest import System, running_system


class Secured:
    """The service, its issuer, and clients with tokens."""

    def __init__(self, system: System, issuer: LocalIssuer) -> None:
        self.system, self.issuer = system, issuer

    async def ready(self) -> None:
        """Wait until the service has the keys."""
        keys = self.system.service.wiring.issuer_keys
        assert keys is not None
        await until(lambda: self.issuer.requests[JWKS] > 0)
        assert await keys.key(self.issuer.key.kid, "RS256")

    async def send(
        self, method: str, path: str, token: str | None = None, *, json: Any = None, **headers: str
    ) -> httpx2.Response:
        """Send one request with this token."""
        async with self.system.client(token or self.issuer.token()) as client:
            return await client.request(method, f"/api/v1{path}", json=json, headers=headers)

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx2.Response:
        """Send a GET with this token."""
        return await self.send("GET", path, token, **headers)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes 20 ms, and each client would make its own


@asynccontextmanager
async def secured_system(issuer: LocalIssuer, **changed: Any) -> AsyncIterator[Secured]:
    """A service that accepts the issuer's tokens and has asked it for its keys once."""
    fetched = HttpIssuer(issuer.url, http=httpx2.AsyncHTTPTransport(verify=_tls()))
    async with running_system(
        issuer=fetched, jwt_issuer=issuer.url, jwt_audience=f"{AUDIENCE}, other", **changed
    ) as system:
        await until(lambda: sum(issuer.requests.values()) > 0)
        yield Secured(system, issuer)
    await fetched.close()


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    """The local issuer."""
    async with running_issuer() as one:
        yield one


@pytest.fixture
async def secured(issuer: LocalIssuer) -> AsyncIterator[Secured]:
    """The service with the issuer's keys."""
    async with secured_system(issuer) as one:
        await one.ready()
        yield one
