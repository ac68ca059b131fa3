"""The smoke test against a file service that gets each step wrong in turn (M17)."""

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.aws import smoke

PDF = b"%PDF-1.7\n...\n%%EOF\n"
KEY = {"CONVERTO_API_KEY": "cvt_key_secret"}
Answer = tuple[int, Any]


class Service(ThreadingHTTPServer):
    """File service and object store in one; `answers` overrides what a path answers, once for each entry."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.output, self.output_type, self.status = PDF, "application/pdf", "completed"
        self.error: dict[str, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str) -> Answer:
        path = path.partition("?")[0]
        if given := self.answers.get(f"{method} {path}"):
            return given.pop(0)
        normal: dict[str, Callable[[], Answer]] = {
            "GET /api/health/ready": lambda: (200, {"status": "ok"}),
            "POST /api/v1/conversions": self._created,
            "PUT /store/in": lambda: (200, b""),
            "POST /api/v1/files/f1/uploaded": lambda: (200, {}),
            "GET /api/v1/conversions/c1": lambda: (200, {"status": self.status, "stage": "", "error": self.error}),
            "GET /api/v1/conversions/c1/outputs": self._outputs,
            "GET /store/out": lambda: (200, self.output),
        }
        return normal.get(f"{method} {path}", lambda: (204, b""))()

    def _created(self) -> Answer:
        upload = {"method": "PUT", "url": f"{self.url}/store/in?signature=hidden", "headers": {"x-test": "1"}}
        return 201, {"conversion": {"id": "c1"}, "file": {"id": "f1"}, "upload": upload}

    def _outputs(self) -> Answer:
        sha256 = hashlib.sha256(PDF).hexdigest()
        url = f"{self.url}/store/out?signature=hidden"
        return 200, {"outputs": [{"url": url, "sha256": sha256, "size_bytes": len(PDF)}]}


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def _handle(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        status, body = self.server.answer(self.command, self.path)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", self.server.output_type if "/store/" in self.path else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def run(service: Service, *arguments: str, within_s: float = 5) -> int:
    return smoke.main(["--url", service.url, "--within", str(within_s), *arguments], KEY, pause_s=0.001)


def test_conversion_that_works_passes(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(service)
    create = next(headers for method, path, headers in service.requests if path == "/api/v1/conversions")
    methods = [(method, path.partition("?")[0]) for method, path, _ in service.requests]

    assert status == 0
    assert create["Authorization"] == "Bearer cvt_key_secret"
    assert "Idempotency-Key" in create
    assert methods[-2:] == [("DELETE", "/api/v1/conversions/c1"), ("DELETE", "/api/v1/files/f1")]
    assert capsys.readouterr().out.endswith("passed\n")


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("GET /api/health/ready", (404, b""), "ready: the service is not ready: 404"),
        (
            "POST /api/v1/conversions",
            (422, {"code": "bad", "detail": "no"}),
            "create: POST /api/v1/conversions answered",
        ),
        ("POST /api/v1/conversions", (201, {"file": {}}), "create: the answer lacks 'upload'"),
        ("PUT /store/in", (403, b"<Code>SignatureDoesNotMatch</Code>"), "answered 403 <Code>SignatureDoesNotMatch"),
        ("POST /api/v1/files/f1/uploaded", (409, {"code": "upload_incomplete"}), "answered 409 upload_incomplete"),
        ("GET /api/v1/conversions/c1/outputs", (200, {"outputs": []}), "one result was expected, not 0"),
        ("GET /store/out", (403, b""), "/store/out answered 403"),
    ],
)
def test_wrong_answer_fails_and_names_the_step(
    service: Service, capsys: pytest.CaptureFixture[str], path: str, answer: Answer, words: str
) -> None:
    service.answers[path] = [answer]
    status = run(service)
    said = capsys.readouterr().out

    assert status == 1
    assert words in said
    assert "signature" not in said


def test_failed_conversion_is_reported_with_its_reason(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.status, service.error = "failed", {"code": "engine_missing", "message": "not installed"}

    assert run(service) == 1
    assert "c1 ended as failed: engine_missing not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "output_type", "words"),
    [
        (PDF + b"x", "application/pdf", "do not have the recorded SHA-256"),
        (b"<html>", "application/pdf", "the bytes are no pdf"),
        (PDF, "text/html", "the type is 'text/html', not 'application/pdf'"),
    ],
)
def test_wrong_bytes_are_found(
    service: Service, capsys: pytest.CaptureFixture[str], output: bytes, output_type: str, words: str
) -> None:
    service.output, service.output_type = output, output_type

    assert run(service) == 1
    assert words in capsys.readouterr().out


def test_conversion_without_a_worker_runs_into_the_limit(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.status = "pending"

    assert run(service, within_s=0.3) == 1
    assert "c1 is still pending" in capsys.readouterr().out


def test_every_request_names_its_program(service: Service) -> None:
    """A firewall refuses requests without a user agent; the store's and the service's are the same here."""
    assert run(service) == smoke.PASSED

    assert len(service.requests) > 6
    assert {headers.get("User-Agent") for _, _, headers in service.requests} == {"converto-smoke/1"}


def test_temporary_failures_are_repeated_with_the_same_key(service: Service) -> None:
    service.answers["POST /api/v1/conversions"] = [(503, {"code": "overloaded"}), (502, b"")]
    status = run(service)
    keys = [headers["Idempotency-Key"] for _, path, headers in service.requests if path == "/api/v1/conversions"]

    assert status == 0
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_lasting_failure_is_given_up(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.answers["GET /api/health/ready"] = [(503, {"code": "database_unavailable"})] * 9

    assert run(service) == 1
    assert "answered 503 database_unavailable" in capsys.readouterr().out


def test_nobody_listening_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    assert smoke.main(["--url", f"http://127.0.0.1:{port}"], KEY, pause_s=0.001) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().out


def certificate(name: str, folder: Path) -> Path:
    """Write a certificate for a name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


@pytest.mark.parametrize(("name", "status"), [("api.example.com", 0), ("other.example.com", 1), ("", 1)])
def test_certificate_is_checked_against_the_server_name(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, status: int
) -> None:
    """An internal load balancer is reached by its own name and shows the public one."""
    path = certificate("api.example.com", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Service() as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        secure.answer = service.answer  # type: ignore[method-assign]
        thread = threading.Thread(target=secure.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://127.0.0.1:{secure.server_port}"
        arguments = ["--url", url, "--server-name", name, "--ca-file", str(path), "--within", "5"]
        ended = smoke.main(arguments, KEY, pause_s=0.001)
        secure.shutdown()
        thread.join()

    assert ended == status, capsys.readouterr().out
    if status:
        assert "certificate verify failed" in capsys.readouterr().out
    else:
        assert {headers["Host"] for _, _, headers in secure.requests} == {name}


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com", "example.com", "http://", "http://example.com:port", "http://example.com:99999"),
        *("http://[::1", "http://example.com:0", "http://user:hidden@example.com", "http://example.com/?key=hidden"),
        *("http://example.com/a b", "http://example.com/\n"),
    ],
)
def test_wrong_url_is_wrong_use(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main(["--url", url], KEY) == 2
    assert "hidden" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_wrong_certificate_file_is_wrong_use(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)

    assert smoke.main(["--url", "https://example.com", "--ca-file", str(tmp_path / "ca.pem")], KEY) == 2


def test_wrong_server_name_is_wrong_use() -> None:
    assert smoke.main(["--url", "https://example.com", "--server-name", "a\nb"], KEY) == 2


@pytest.mark.parametrize("key", ["", " \n", "cvt_key\nsecret", "cvt_key secret", "cvt_key\x00secret", "cvt_käy_secret"])
def test_wrong_key_is_wrong_use_and_not_printed(key: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert smoke.main(["--url", "http://127.0.0.1:1"], {"CONVERTO_API_KEY": key}) == 2

    said = capfd.readouterr()
    assert "cvt_k" not in said.out + said.err
    assert "secret" not in said.out + said.err


def test_line_break_after_the_key_is_ignored(service: Service) -> None:
    arguments = ["--url", service.url, "--within", "5"]
    status = smoke.main(arguments, {"CONVERTO_API_KEY": "cvt_key_secret\n"}, pause_s=0.001)

    assert status == 0
    assert service.requests[0][2]["Authorization"] == "Bearer cvt_key_secret"


def test_other_variable_counts_when_the_first_is_empty(service: Service) -> None:
    keys = {"CONVERTO_API_KEY": "\n", "CONVERTO_BOOTSTRAP_API_KEY": "cvt_boot_secret"}

    assert smoke.main(["--url", service.url, "--within", "5"], keys, pause_s=0.001) == 0


CREATED: dict[str, Any] = {"conversion": {"id": "c1"}, "file": {"id": "f1"}}
HIDDEN = "http://127.0.0.1:1/in?X-Amz-Signature=hidden"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("POST /api/v1/conversions", []),
        ("POST /api/v1/conversions", b"[" * 100_000),
        ("POST /api/v1/conversions", CREATED | {"upload": None}),
        ("POST /api/v1/conversions", CREATED | {"upload": "x"}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": None}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": 5}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": "http://[::1?hidden"}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": "http://a:port/?hidden"}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": "file:///etc/passwd"}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN + " x"}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN, "headers": [1]}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN, "headers": {"a": "hidden\n"}}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN, "headers": {"a": [1]}}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN, "headers": {"ä€": "b"}}}),
        ("POST /api/v1/conversions", CREATED | {"upload": {"url": HIDDEN, "method": "POST"}}),
        ("GET /api/v1/conversions/c1", {"status": ["completed"]}),
        ("GET /api/v1/conversions/c1", {"status": "failed", "error": "hidden"}),
        ("GET /api/v1/conversions/c1/outputs", {"outputs": None}),
        ("GET /api/v1/conversions/c1/outputs", {"outputs": "x"}),
        ("GET /api/v1/conversions/c1/outputs", {"outputs": {"a": 1}}),
        ("GET /api/v1/conversions/c1/outputs", {"outputs": [{"url": 5}]}),
        ("GET /api/v1/conversions/c1/outputs", {"outputs": [{"url": "http://127.0.0.1:1/a b?hidden"}]}),
    ],
)
def test_strange_answer_fails_with_its_step_only(
    service: Service, capfd: pytest.CaptureFixture[str], path: str, body: Any
) -> None:
    service.answers[path] = [(201 if path.startswith("POST") else 200, body)]
    status = run(service)
    said = capfd.readouterr()

    assert status == 1
    assert "smoke test: FAILED at " in said.out
    assert "hidden" not in said.out + said.err
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(("url", "kind"), [(HIDDEN + " x", "InvalidURL"), ("http://[::1", "ValueError")])
def test_request_that_cannot_be_sent_is_named(
    service: Service, capsys: pytest.CaptureFixture[str], url: str, kind: str
) -> None:
    service.answers["POST /api/v1/conversions"] = [(201, CREATED | {"upload": {"url": url}})]

    assert run(service) == 1
    assert f"FAILED at upload: the PUT request cannot be sent ({kind})" in capsys.readouterr().out


def test_echoed_secrets_are_hidden(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    echo = b"no: http://user:hidden@store/in?X-Amz-Signature=hidden Bearer cvt_key_secret"
    service.answers["PUT /store/in"] = [(403, echo)]

    assert run(service) == 1
    assert "answered 403 no: http://store/in Bearer (the key)" in capsys.readouterr().out


def test_samples_are_new_each_time() -> None:
    assert smoke.text_sample().content != smoke.text_sample().content
    assert smoke.picture_sample().content != smoke.picture_sample().content
