"""Sends all requests: deadlines, retries, problem documents as errors, and the API key for the file service only.

Presigned requests carry no key: an object store rejects a request that is authorized twice, and must not see the key.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
import msgspec

from converto_client.errors import ClientError, ServerUnreachable, problem_error
from converto_client.retry import Retry, seconds_of_retry_after

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]
ApiKey = str | Callable[[], str] | None
"""An API key or access token, or a function that returns the current one."""

API = "/api/v1"
CONNECT_TIMEOUT_S = 5.0
STORE_SILENCE_S = 120.0
"""How long an object store may stay silent after the last byte of a part before the request fails."""
_NOT_MODIFIED = 304


class Transport:
    """HTTP to one file service and its object store."""

    def __init__(
        self,
        url: str,
        api_key: ApiKey,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        http: httpx2.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`timeout_s` is the read timeout for the file service in seconds; raises ValueError for a malformed URL."""
        parsed = httpx2.URL(url) if url.startswith(("http://", "https://")) else None
        if parsed is None or not parsed.host:
            raise ValueError(f"The server URL must look like http://host:port, not {url!r}")
        self.url = url.rstrip("/")
        self.retry = retry or Retry()
        self.sleep = sleep
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._http = http
        self._clients: dict[bool, httpx2.AsyncClient] = {}

    def forget_connections(self) -> None:
        """Use new connections from now on, without closing the old ones: after a fork they belong to the parent."""
        self._clients.clear()

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: Any = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Send one API request and return the decoded answer; raises a `ClientError`."""
        key = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)} if method == "POST" else {}
        response = await self.send(method, API + path, body=body, params=params, headers={**key, **(headers or {})})
        return decoded(response, answer)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
        accept: frozenset[int] = frozenset(),
    ) -> httpx2.Response:
        """Send until the answer is a success, 304 or in `accept`; it may be delayed by `wait_s` seconds."""
        attempt, paused_s = 0, 0.0
        while True:
            attempt += 1
            try:
                return await self._send_once(method, path, body, params, headers, wait_s=wait_s, accept=accept)
            except ClientError as error:
                if not self.retry.may_repeat(error, attempt, paused_s=paused_s):
                    raise
                pause_s = self.retry.pause_after_s(error, attempt)
                paused_s += pause_s
                await self.sleep(pause_s)

    async def _send_once(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
        *,
        wait_s: float,
        accept: frozenset[int],
    ) -> httpx2.Response:
        content = None if body is None else msgspec.json.encode(body)
        json_type = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = await self._client(self.url).request(
                method,
                self.url + path,
                content=content,
                params=params,
                headers={**self._authorization(), **json_type, **(headers or {})},
                timeout=httpx2.Timeout(self._timeout_s + wait_s, connect=CONNECT_TIMEOUT_S),
            )
        except httpx2.RequestError as error:
            raise unreachable(self.url, error) from error
        if response.is_success or response.status_code == _NOT_MODIFIED or response.status_code in accept:
            return response
        retry_after_s = seconds_of_retry_after(response.headers.get("Retry-After"))
        raise problem_error(response.status_code, response.content, retry_after_s=retry_after_s)

    def _authorization(self) -> dict[str, str]:
        api_key = self._api_key() if callable(self._api_key) else self._api_key
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    @asynccontextmanager
    async def live(
        self, path: str, *, params: Mapping[str, str], last_event_id: str, silence_s: float
    ) -> AsyncIterator[httpx2.EventSource]:
        """Open a stream of server-sent events; it fails after `silence_s` seconds without data."""
        resume = {"Last-Event-ID": last_event_id} if last_event_id else {}
        async with self._client(self.url).sse(
            self.url + API + path,
            params=params,
            headers={**self._authorization(), **resume},
            timeout=httpx2.Timeout(silence_s, connect=CONNECT_TIMEOUT_S),
        ) as source:
            yield source

    async def store_request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: AsyncIterator[bytes]
    ) -> httpx2.Response:
        """Send a presigned request with a streamed body, once, without the key; raises `ServerUnreachable`."""
        try:
            return await self._client(url).request(
                method, url, content=content, headers=headers, timeout=_store_timeout(), follow_redirects=False
            )
        except httpx2.RequestError as error:
            raise unreachable("the object store", error) from error

    @asynccontextmanager
    async def store_stream(self, url: str, *, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """Open a presigned URL, once, without the key; raises `ServerUnreachable`, also in mid-stream."""
        try:
            async with self._client(url).stream("GET", url, headers=headers, timeout=_store_timeout()) as response:
                yield response
        except httpx2.RequestError as error:
            raise unreachable("the object store", error) from error

    def _client(self, url: str) -> httpx2.AsyncClient:
        """The connection pool for this URL's scheme.

        CA certificates are loaded for https only: loading takes longer than a whole request on loopback. The empty
        context for http trusts no certificate.
        """
        is_tls = url.startswith("https://")
        if is_tls not in self._clients:
            self._clients[is_tls] = httpx2.AsyncClient(
                transport=self._http,
                verify=True if is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
                headers={"User-Agent": "converto-client"},
            )
        return self._clients[is_tls]


def decoded(response: httpx2.Response, answer: type[Answer]) -> Answer:
    """Decode the JSON body of a successful answer; raises `ServerUnreachable` when it is not converto's."""
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise ServerUnreachable(
            f"The server at {response.request.url.host} does not speak the converto API; check the server URL"
        ) from error


def segment(untrusted_id: str) -> str:
    """Make an id safe as one path segment: `../files/x` must not address another resource."""
    return "".join(character for character in untrusted_id if character.isalnum() or character in "-_") or "-"


def without_none(**fields: Any) -> dict[str, Any]:
    """Drop the fields that are None, so that the server's defaults apply."""
    return {name: value for name, value in fields.items() if value is not None}


def unreachable(target: str, error: httpx2.RequestError) -> ServerUnreachable:
    """The error for a request that got no answer, with the reason."""
    reasons: tuple[tuple[type[httpx2.RequestError], str], ...] = (
        (httpx2.ConnectTimeout, "the connection timed out"),
        (httpx2.ConnectError, "the connection was refused or the host name is unknown"),
        (httpx2.TimeoutException, "it did not answer in time"),
    )
    reason = next((words for kind, words in reasons if isinstance(error, kind)), "the connection broke")
    return ServerUnreachable(f"Cannot reach {target}: {reason}")


def _store_timeout() -> httpx2.Timeout:
    return httpx2.Timeout(STORE_SILENCE_S, connect=CONNECT_TIMEOUT_S, write=30.0)
