"""An OpenID Connect issuer on the loopback address, with real keys; it can be slow, away, rotate its keys, or lie."""

import asyncio
import functools
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

DISCOVERY, JWKS = "/.well-known/openid-configuration", "/keys"
AUDIENCE = "converto-api"
REMOVED = object()
"""As the value of a claim or header: leave it out."""


@functools.cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same number, because making one takes 0.1 s."""
    del number
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    del number
    return ec.generate_private_key(ec.SECP256R1())


class Key:
    """A signing key with its id."""

    def __init__(self, kid: str, algorithm: str = "RS256", number: int = 0) -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private = rsa_key(number) if algorithm == "RS256" else ec_key(number)

    def jwk(self, **changed: Any) -> dict[str, Any]:
        """The public key as the issuer publishes it."""
        public: Any = self.private.public_key()
        kind = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        published = {**kind.to_jwk(public, as_dict=True), "kid": self.kid, "alg": self.algorithm, "use": "sig"}
        return without_removed({**published, **changed})

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """A token with these claims."""
        header = without_removed({"kid": self.kid, **headers})
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers=header)


def without_removed(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not REMOVED}


def claims(issuer: str, **changed: Any) -> dict[str, Any]:
    """The claims of a valid access token of the user anna, with some changed."""
    now = int(time.time())
    usual = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "anna",
        "iat": now,
        "exp": now + 300,
        "scope": "openid conversions:read conversions:write",
    }
    return without_removed({**usual, **changed})


class LocalIssuer:
    """Serves the discovery document and the key set by HTTP and counts the requests for each path."""

    def __init__(self) -> None:
        self.key = Key("k1")
        self.keys = [self.key]
        self.requests: Counter[str] = Counter()
        self.is_away = False
        """Close each connection without an answer."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.lies: dict[str, tuple[str, dict[str, str], bytes]] = {}
        """Status line, headers and body by path, instead of the truth."""
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def jwks_url(self) -> str:
        return self.url + JWKS

    def token(self, *, key: Key | None = None, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """A valid token, or one with changed claims and headers."""
        return (key or self.key).sign(claims(self.url, **changed), **(headers or {}))

    def lie(self, path: str, body: bytes | dict[str, Any], status: str = "200 OK", **headers: str) -> None:
        """Answer this from now on."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.lies[path] = (status, headers, text)

    def key_set(self) -> bytes:
        """The key set as JSON text."""
        return json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request per connection."""
        self._open.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                request = await reader.readuntil(b"\r\n\r\n")
                path = request.split(b" ", 2)[1].decode()
                self.requests[path] += 1
                await self.may_answer.wait()
                if not self.is_away:
                    writer.write(self._response(path))
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()

    def close_connections(self) -> None:
        for writer in self._open:
            writer.close()

    def _response(self, path: str) -> bytes:
        status, headers, body = self.lies.get(path) or self._truth(path)
        fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body

    def _truth(self, path: str) -> tuple[str, dict[str, str], bytes]:
        if path == DISCOVERY:
            return "200 OK", {}, json.dumps({"issuer": self.url, "jwks_uri": self.jwks_url}).encode()
        return ("200 OK", {}, self.key_set()) if path == JWKS else ("404 Not Found", {}, b"")


@asynccontextmanager
async def running_issuer(tls: ssl.SSLContext | None = None) -> AsyncIterator[LocalIssuer]:
    """An issuer that answers on a free port, by HTTPS with `tls`."""
    issuer = LocalIssuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0, ssl=tls)
    issuer.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield issuer
    finally:
        server.close()
        issuer.may_answer.set()
        issuer.close_connections()
