"""The Python client with an access token in place of an API key (M17)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from converto_client import AsyncConverto, Forbidden, Unauthorized
from tests.unit.file_service.access_tokens.conftest import Secured


@asynccontextmanager
async def client_with(secured: Secured, token: str | Callable[[], str]) -> AsyncIterator[AsyncConverto]:
    transport = httpx2.ASGITransport(app=secured.system.service.asgi, raise_app_exceptions=False)
    async with AsyncConverto("http://converto.test", token, http=transport) as client:
        yield client


async def test_client_takes_a_token_as_its_key(secured: Secured) -> None:
    async with client_with(secured, secured.issuer.token()) as client:
        identity = await client.whoami()
        formats = await client.formats()

    assert (identity.owner, identity.scopes) == ("oidc.anna", ("conversions:read", "conversions:write"))
    assert identity.expires_at
    assert formats.routes


async def test_client_asks_for_a_token_before_each_request(secured: Secured) -> None:
    subjects = iter(["anna", "berta"])

    async with client_with(secured, lambda: secured.issuer.token(sub=next(subjects))) as client:
        owners = [(await client.whoami()).owner for _ in range(2)]

    assert owners == ["oidc.anna", "oidc.berta"]


async def test_client_raises_what_a_token_lacks(secured: Secured) -> None:
    async with client_with(secured, secured.issuer.token(exp=1)) as client:
        with pytest.raises(Unauthorized, match="expired") as caught:
            await client.whoami()
    assert caught.value.code == "token_expired"

    async with client_with(secured, secured.issuer.token(scope="openid")) as client:
        with pytest.raises(Forbidden, match="lacks the scope conversions:read"):
            await client.formats()
