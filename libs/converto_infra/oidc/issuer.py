"""`Issuer` over HTTP: finds the key set by OpenID Connect discovery, or at a configured URL, and fetches it."""

import asyncio

import httpx2
import msgspec

from converto_core.errors import IssuerUnavailable
from converto_infra import secure_url
from converto_infra.settings import Settings

TIMEOUT_S = 5.0
"""For discovery and key set together, bodies included."""
MAX_BODY_BYTES = 256 * 1024
"""A key set has some KB; the limit keeps a wrong URL from filling the memory."""
_DISCOVERY_PATH = "/.well-known/openid-configuration"


class HttpIssuer:
    """Follows no redirects, accepts no compressed bodies, and reads no more than `MAX_BODY_BYTES`."""

    def __init__(
        self,
        url: str,
        *,
        jwks_url: str | None = None,
        timeout_s: float = TIMEOUT_S,
        http: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` is the issuer exactly as its tokens name it; without `jwks_url`, discovery finds the key set."""
        self._url, self._jwks_url, self._timeout_s = url, jwks_url, timeout_s
        self._discovered_url: str | None = None
        self._http = httpx2.AsyncClient(
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=timeout_s,
            transport=http,
            # Proxies and SSL_CERT_FILE of the environment; plain HTTP is loopback, which no proxy can reach.
            trust_env=not (jwks_url or url).startswith("http://"),
        )

    @classmethod
    def connect(cls, settings: Settings) -> "HttpIssuer | None":
        """Build the configured issuer, which connects at its first call; None without `jwt_issuer`."""
        return cls(settings.jwt_issuer, jwks_url=settings.jwt_jwks_url) if settings.jwt_issuer else None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def key_set(self) -> bytes:
        """Return the key set as JSON text; raises `IssuerUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                url = self._jwks_url or self._discovered_url or await self._discover()
                return await self._get(url)
        except TimeoutError as error:
            self._discovered_url = None
            raise IssuerUnavailable(detail=f"{self._url}: no answer within {self._timeout_s:g} s") from error
        except IssuerUnavailable:
            self._discovered_url = None  # the key set may have moved
            raise

    async def _discover(self) -> str:
        url = self._url.rstrip("/") + _DISCOVERY_PATH
        try:
            found = msgspec.json.decode(await self._get(url), type=_Configuration)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise IssuerUnavailable(detail=f"{url}: not an OpenID Connect configuration: {error}") from error
        if found.issuer != self._url:
            raise IssuerUnavailable(detail=f"{url}: describes the issuer {found.issuer!r}, not {self._url!r}")
        fault = secure_url.fault_of(found.jwks_uri)
        if fault is None and secure_url.is_loopback(found.jwks_uri) and not secure_url.is_loopback(self._url):
            fault = "must not lead to this machine"
        if fault:
            raise IssuerUnavailable(detail=f"{url}: jwks_uri {fault}")
        self._discovered_url = found.jwks_uri
        return found.jwks_uri

    async def _get(self, url: str) -> bytes:
        body = bytearray()
        try:
            async with self._http.stream("GET", url) as response:
                if response.status_code != 200:
                    raise IssuerUnavailable(detail=f"{url}: status {response.status_code}; redirects are not followed")
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise IssuerUnavailable(detail=f"{url}: the body is compressed, which was not asked for")
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise IssuerUnavailable(detail=f"{url}: the body is larger than {MAX_BODY_BYTES} bytes")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise IssuerUnavailable(detail=f"{url}: {type(error).__name__}: {error}") from error
        return bytes(body)


class _Configuration(msgspec.Struct, frozen=True):
    """The two fields that are needed of an OpenID Connect discovery document."""

    issuer: str
    jwks_uri: str
