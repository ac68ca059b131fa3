"""The command of the rotation image, run as Lambda runs it: with its runtime client, which fetches events by HTTP."""

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deploy.aws.rotation.configuration import VARIABLE
from deploy.aws.rotation.steps import Step
from deploy.local.home import REPOSITORY
from tests.conftest import skip_or_fail

DOCKERFILE = REPOSITORY / "deploy/docker/Dockerfile.rotation"
SOON_S = 30
HEADERS = {
    "Content-Type": "application/json",  # without it the runtime client ends with a segmentation fault
    "Lambda-Runtime-Aws-Request-Id": "1",
    "Lambda-Runtime-Deadline-Ms": "9999999999999",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:rotation",
    "Lambda-Runtime-Trace-Id": "Root=1-0-0",
}
ACCOUNT = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class RuntimeApi:
    """Lambda's runtime API: hands out events, and keeps what the function answers."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                event = api._events.get()
                body = json.dumps(event).encode()
                self.send_response(410 if event is None else 200)
                for name, value in (HEADERS | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                api.answers.put((self.path.rpartition("/")[2], json.loads(body or b"null")))

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def invoke(self, event: dict[str, Any]) -> tuple[str, Any]:
        """`response` or `error`, and its body."""
        self._events.put(event)
        return self.answers.get(timeout=SOON_S)

    def close(self) -> None:
        self._events.put(None)
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secret(aws: str) -> str:
    client: Any = client_of(aws)
    arn: str = client.create_secret(Name=f"key-{uuid4()}", SecretString="cvt_one_old")["ARN"]
    return arn


def client_of(aws: str) -> Any:
    return boto3.client(
        "secretsmanager",
        endpoint_url=aws,
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@contextmanager
def running(folder: Path, variables: dict[str, str]) -> Iterator[RuntimeApi]:
    """The image's command over the files that the image copies."""
    if find_spec("awslambdaric") is None:
        skip_or_fail("Lambda's runtime client is not installed; it is in deploy/requirements/rotation.txt")
    text, api = DOCKERFILE.read_text(), RuntimeApi()
    for source, target in re.findall(r"^COPY (libs/\S+|deploy/\S+) /opt/converto/(\S+)$", text, re.MULTILINE):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / source).is_dir():
            copytree(REPOSITORY / source, folder / target)
        else:
            (folder / target).write_bytes((REPOSITORY / source).read_bytes())
    [command] = [
        [*json.loads(entry), *json.loads(arguments)]
        for entry, arguments in re.findall(r"^ENTRYPOINT (\[.*\])\nCMD (\[.*\])$", text, re.MULTILINE)
    ]
    process = subprocess.Popen(
        [sys.executable, *command[1:]],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}/libs:{folder}",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            **variables,
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        yield api
    finally:
        process.kill()
        process.wait()
        api.close()


def test_image_command_rotates_a_secret(aws: str, secret: str, tmp_path: Path) -> None:
    configuration = {"cluster": "converto-test", "secrets": {secret: {"kind": "api_key", "services": ["gone"]}}}
    variables = ACCOUNT | {"AWS_ENDPOINT_URL": aws, VARIABLE: json.dumps(configuration)}
    client = client_of(aws)
    token = str(uuid4())
    # moto has no version without a value, so the first step finds one, as in a repeated rotation.
    pending = {"ClientRequestToken": token, "VersionStages": ["AWSPENDING"]}
    client.put_secret_value(SecretId=secret, SecretString="cvt_one_new", **pending)

    with running(tmp_path, variables) as lambda_service:
        for step in Step:
            event = {"Step": step, "SecretId": secret, "ClientRequestToken": token}
            assert lambda_service.invoke(event) == ("response", None)

    assert client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["VersionId"] == token


def test_image_command_reports_why_a_step_failed(aws: str, secret: str, tmp_path: Path) -> None:
    variables = ACCOUNT | {"AWS_ENDPOINT_URL": aws, VARIABLE: json.dumps({"cluster": "c", "secrets": {}})}
    event = {"Step": "createSecret", "SecretId": secret, "ClientRequestToken": "unknown"}

    with running(tmp_path, variables) as lambda_service:
        kind, error = lambda_service.invoke(event)

    assert (kind, error["errorType"]) == ("error", "RotationFailed")
    assert error["errorMessage"] == f"{secret} is not in CONVERTO_ROTATION"
