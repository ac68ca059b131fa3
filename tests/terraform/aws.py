"""The tests' side of the AWS double: its process, clients for it, and what its policies decided."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from deploy.local.home import REPOSITORY

ACCOUNT = "123456789012"
"""moto's account."""

START_TIMEOUT_S = 60


class Credentials(NamedTuple):
    """Keys of a role's session."""

    access_key: str
    secret_key: str
    session_token: str | None = None


ROOT = Credentials("AKIAIOSFODNN7EXAMPLE", "none")


class Aws:
    """A running double."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.certificate = folder / "ca.pem"
        self.http_url = f"http://127.0.0.1:{ports['http']}"
        self.https_url = f"https://127.0.0.1:{ports['https']}"

    def client(
        self, service: str, *, region: str, credentials: Credentials = ROOT, is_tls: bool = True, **config: Any
    ) -> Any:
        """A boto3 client that calls the double."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.https_url if is_tls else self.http_url,
            verify=str(self.certificate),
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead Terraform's provider here."""
        return {"AWS_ENDPOINT_URL": self.http_url}

    def assume(self, role_arn: str, *, region: str) -> Credentials:
        """A session of a role; call it while policies are off, because the trust policy is not what is tested."""
        given = self.client("sts", region=region).assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Evaluate the policies of every request."""
        self._post("/moto-api/reset-auth", "0")
        try:
            yield
        finally:
            self._post("/moto-api/reset-auth", "inf")

    def decisions(self) -> list[dict[str, Any]]:
        """What has been decided since the last call: role, action, resource, allowed, reason."""
        with urllib.request.urlopen(f"{self.http_url}/double/decisions", timeout=10) as answer:
            return list(json.load(answer))

    def reset(self) -> None:
        """Forget every resource."""
        self._post("/moto-api/reset", "")

    def exchange(
        self, url: str, *, method: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str]]:
        """Send one request as a client without boto3 would; return the status and the headers of the answer."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(parts.netloc, timeout=20, context=self.tls())
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def tls(self) -> ssl.SSLContext:
        """What trusts the double's certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def _post(self, path: str, body: str) -> None:
        plain = {"Content-Type": "text/plain"}  # moto takes urllib's default for a form
        request = urllib.request.Request(f"{self.http_url}{path}", data=body.encode(), headers=plain, method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def running_double(folder: Path) -> Iterator[Aws]:
    """Start the double, wait until it answers, and stop it at the end."""
    path = os.pathsep.join([str(REPOSITORY / "libs"), str(REPOSITORY / "services"), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "tests.terraform.aws_double", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        yield Aws(folder, _ports(folder, process))
    finally:
        process.terminate()
        process.communicate(timeout=10)  # also closes its input


def _ports(folder: Path, process: "subprocess.Popen[bytes]") -> dict[str, int]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (folder / "ports.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the AWS double did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)  # polls a file of another process, with a deadline
    return dict(json.loads((folder / "ports.json").read_text()))
