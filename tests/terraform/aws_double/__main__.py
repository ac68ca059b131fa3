"""`python -m tests.terraform.aws_double FOLDER` serves AWS by HTTP and HTTPS on free ports until its input ends.

FOLDER gets the certificate (`ca.pem`) and, once both ports answer, `ports.json`. `GET /double/decisions` returns and
forgets what the policies have decided.
"""

import datetime
import io
import ipaddress
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# moto reads these when it is imported.
os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # a bucket without rules must not allow every origin
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # AWS Backup has policies for its roles
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "inf"  # policies are evaluated when a test turns them on

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.terraform.aws_double import authorization, cloudfront, gaps
from tests.terraform.aws_double.attempts import Attempts

HOST = "127.0.0.1"


class QuietHandler(MotoRequestHandler):
    """Logs nothing: a test that fails shows the answers it got."""

    def log(self, type: str, message: str, *arguments: Any) -> None:
        pass


def main(folder: Path) -> None:
    """Serve until the input ends."""
    gaps.install()
    cloudfront.install()
    authorization.install()
    application = Attempts(_with_decisions(DomainDispatcherApplication(create_backend_app)))
    certificate, key = _certificate(folder)
    servers = {
        "http": make_server(HOST, 0, application, threaded=True, request_handler=QuietHandler),
        "https": make_server(
            HOST, 0, application, threaded=True, request_handler=QuietHandler, ssl_context=(str(certificate), str(key))
        ),
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    written = folder / "ports.writing"
    written.write_text(json.dumps({name: server.port for name, server in servers.items()}))
    written.rename(folder / "ports.json")
    sys.stdin.buffer.read()  # ends with the process that started this one, however that ends


def _with_decisions(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/double/decisions":
            is_chunked = environ.get("wsgi.input_terminated")
            body = environ["wsgi.input"].read(-1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0))
            return application({**environ, authorization.BODY: body, "wsgi.input": io.BytesIO(body)}, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [authorization.journal.take().encode()]

    return serve


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this host, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS double")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "ca.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
