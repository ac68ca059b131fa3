"""Fetching the key set by HTTP: discovery, deadline, size, redirects, and an issuer that lies (M17)."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from converto_core.errors import IssuerUnavailable
from converto_infra.oidc.issuer import MAX_BODY_BYTES, HttpIssuer
from converto_infra.settings import Settings
from tests.issuer import AUDIENCE, DISCOVERY, JWKS, LocalIssuer, ec_key, running_issuer


async def failure(client: HttpIssuer) -> str:
    with pytest.raises(IssuerUnavailable) as caught:
        await client.key_set()
    await client.close()
    assert "127.0.0.1" not in str(caught.value), "the public text names no address"
    return caught.value.detail


async def test_discovery_leads_to_the_key_set(issuer: LocalIssuer) -> None:
    client = HttpIssuer(issuer.url)

    first, second = await client.key_set(), await client.key_set()

    await client.close()
    assert first == second == issuer.key_set()
    assert issuer.requests == {DISCOVERY: 1, JWKS: 2}


async def test_configured_url_needs_no_discovery(issuer: LocalIssuer) -> None:
    settings = Settings(jwt_issuer="https://issuer.invalid", jwt_audience=AUDIENCE, jwt_jwks_url=issuer.jwks_url)
    client = HttpIssuer.connect(settings)
    assert client is not None

    assert await client.key_set() == issuer.key_set()

    await client.close()
    assert issuer.requests == {JWKS: 1}


def test_no_issuer_is_connected_without_the_setting() -> None:
    assert HttpIssuer.connect(Settings()) is None


async def test_issuer_with_a_trailing_slash_is_found(issuer: LocalIssuer) -> None:
    issuer.lie(DISCOVERY, {"issuer": issuer.url + "/", "jwks_uri": issuer.jwks_url})
    client = HttpIssuer(issuer.url + "/")

    assert await client.key_set() == issuer.key_set()
    await client.close()


async def test_moved_key_set_is_discovered_again(issuer: LocalIssuer) -> None:
    client = HttpIssuer(issuer.url)
    await client.key_set()
    issuer.lie(JWKS, b"", status="410 Gone")
    issuer.lie("/new-keys", issuer.key_set())
    issuer.lie(DISCOVERY, {"issuer": issuer.url, "jwks_uri": issuer.url + "/new-keys"})
    with pytest.raises(IssuerUnavailable, match="issuer"):
        await client.key_set()

    assert await client.key_set() == issuer.key_set()
    await client.close()


async def test_issuer_that_hangs_misses_the_deadline(issuer: LocalIssuer) -> None:
    issuer.may_answer.clear()

    assert "no answer within 0.05 s" in await failure(HttpIssuer(issuer.url, timeout_s=0.05))


async def test_issuer_that_hangs_up_is_unavailable(issuer: LocalIssuer) -> None:
    issuer.is_away = True

    assert "RemoteProtocolError" in await failure(HttpIssuer(issuer.url))


async def test_nobody_at_the_address_is_unavailable(issuer: LocalIssuer) -> None:
    assert "Connect" in await failure(HttpIssuer("http://127.0.0.1:1"))


def self_signed(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A certificate for this address that no authority has signed, and the file that it is in."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, ec_key(7).public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ec_key(7), SHA256())
    )
    file, key_file = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(ec_key(7).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context, file


async def test_certificate_must_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, file = self_signed(tmp_path, "127.0.0.1")
    async with running_issuer(context) as issuer:
        assert "CERTIFICATE_VERIFY_FAILED" in await failure(HttpIssuer(issuer.url))
        assert not issuer.requests

        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        client = HttpIssuer(issuer.url)
        assert await client.key_set() == issuer.key_set()
        await client.close()


async def test_certificate_must_name_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, file = self_signed(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with running_issuer(context) as issuer:
        assert "CERTIFICATE_VERIFY_FAILED" in await failure(HttpIssuer(issuer.url))


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_redirects_are_not_followed(issuer: LocalIssuer, path: str, status: str) -> None:
    issuer.lie(path, b"", status=status, Location=issuer.url + "/elsewhere")
    issuer.lie("/elsewhere", issuer.key_set())

    assert "redirects are not followed" in await failure(HttpIssuer(issuer.url))
    assert issuer.requests["/elsewhere"] == 0


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
async def test_endless_body_is_cut_off(issuer: LocalIssuer, path: str) -> None:
    issuer.lie(path, b" " * (MAX_BODY_BYTES + 1))

    assert "larger than" in await failure(HttpIssuer(issuer.url))


async def test_compressed_body_is_refused(issuer: LocalIssuer) -> None:
    issuer.lie(JWKS, issuer.key_set(), Content_Encoding="gzip")

    assert "compressed" in await failure(HttpIssuer(issuer.url))


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"null", b'{"issuer": 1}', b"\xff\xfe", b"[" * 100_000, b'{"issuer": "x"}'],
)
async def test_unreadable_discovery_is_unavailable(issuer: LocalIssuer, document: bytes) -> None:
    issuer.lie(DISCOVERY, document)

    assert "not an OpenID Connect configuration" in await failure(HttpIssuer(issuer.url))


async def test_discovery_of_another_issuer_is_refused(issuer: LocalIssuer) -> None:
    issuer.lie(DISCOVERY, {"issuer": "https://evil.example", "jwks_uri": issuer.jwks_url})

    assert "describes the issuer 'https://evil.example'" in await failure(HttpIssuer(issuer.url))
    assert issuer.requests[JWKS] == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://evil.example/keys",
        "ftp://evil.example",
        "file:///etc/passwd",
        "",
        "https://",
        "https://a b/",
        "https://u:p@h/",
        "https://127.0.0.2:1/k",
        "https://127.1/k",
        "https://0/k",
        "https://0.0.0.0/",
        "https://2130706433/k",
        "https://0x7f.1/k",
        "https://[::]/k",
        "https://[::ffff:127.0.0.1]/k",
        "https://169.254.169.254/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1]/",
        "https://localhost./k",
        "https://keys.localhost/k",
        "https://exa%6dple/",
        "http://127.0.0.2/k",
    ],
)
async def test_insecure_key_set_address_is_refused(issuer: LocalIssuer, address: str) -> None:
    issuer.lie(DISCOVERY, {"issuer": issuer.url, "jwks_uri": address})

    assert "jwks_uri must" in await failure(HttpIssuer(issuer.url))


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/keys", "https://localhost/keys", "http://[::1]/keys"])
async def test_remote_issuer_cannot_lead_to_this_machine(address: str) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json={"issuer": "https://issuer.example", "jwks_uri": address})

    client = HttpIssuer("https://issuer.example", http=httpx2.MockTransport(answer))
    with pytest.raises(IssuerUnavailable) as caught:
        await client.key_set()

    assert "must not lead to this machine" in caught.value.detail
    assert asked == ["https://issuer.example/.well-known/openid-configuration"]
