"""The object store is killed in the middle of an upload by the command line, which ends well (C7).

rclone keeps the parts of an unfinished upload in memory, so a restart loses them; the presigned requests then answer
404 `NoSuchUpload`, or break the connection. The same run goes on, and so does a run after one that was killed, too.
"""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.local.home import REPOSITORY
from deploy.local.stack.stack import Stack
from tests.conftest import run_apart
from tests.e2e.command_line import FROM_SOURCES
from tests.e2e.plain_http import wait_until
from tests.scenarios.conftest import MIB, PART_BYTES

LARGE_BYTES, SMALL_BYTES = 200 * MIB, 48 * MIB
"""The first is sent in forty parts, the second with one request."""
WITHIN_S = 90

pytestmark = pytest.mark.timeout(300)


class Upload:
    """`converto upload` of a file that nobody has uploaded before."""

    def __init__(self, stack: Stack, http: httpx2.Client, folder: Path, size_bytes: int) -> None:
        self.stack, self.http = stack, http
        self.path = folder / f"recording-{os.urandom(4).hex()}.wav"
        self.path.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt " + os.urandom(size_bytes - 16))

    def start(self) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "CONVERTO_SERVER_URL": self.stack.url,
            "CONVERTO_API_KEY": self.stack.api_key,
            "HOME": str(self.path.parent),
            "PYTHONPATH": os.pathsep.join(str(REPOSITORY / folder) for folder in ("libs", "services")),
        }
        command = [*FROM_SOURCES, "upload", str(self.path), "--json"]
        return subprocess.Popen(
            command, cwd=self.path.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def file(self) -> dict[str, Any] | None:
        found = self.http.get("/api/v1/files").json()["files"]
        return next((one for one in found if one["filename"] == self.path.name), None)

    def arrived(self) -> int | None:
        """How many parts the store has; None while there are none."""
        if (file := self.file()) is None:
            return None
        answer = self.http.get(f"/api/v1/files/{file['id']}/parts")
        return len(answer.json()["parts"]) or None if answer.status_code == 200 else None

    def check(self, process: "subprocess.Popen[str]") -> None:
        """The command has succeeded, and the server has exactly its bytes."""
        output, errors = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, output + errors
        file = self.file()
        assert file is not None and file["status"] == "uploaded", file
        stored = hashlib.sha256()
        with self.http.stream("GET", f"/api/v1/files/{file['id']}/content", follow_redirects=True) as content:
            for chunk in content.iter_bytes():
                stored.update(chunk)
        assert stored.hexdigest() == hashlib.sha256(self.path.read_bytes()).hexdigest()
        assert json.loads(output), output


def kill_store(stack: Stack) -> None:
    stack.kill("s3")
    run_apart(lambda: stack.wait_healthy("s3"))


def test_upload_in_parts_ends_well_in_the_same_run(idle_stack: Stack, idle_http: httpx2.Client, tmp_path: Path) -> None:
    upload = Upload(idle_stack, idle_http, tmp_path, LARGE_BYTES)
    process = upload.start()
    arrived = wait_until(upload.arrived, within_s=WITHIN_S)
    kill_store(idle_stack)

    assert arrived < LARGE_BYTES // PART_BYTES
    assert process.poll() is None, "the upload ended before the store was killed"
    upload.check(process)


def test_rerun_of_an_interrupted_upload_ends_well(idle_stack: Stack, idle_http: httpx2.Client, tmp_path: Path) -> None:
    """The client is gone, too, and its entry on the disk names an upload that the store has lost."""
    upload = Upload(idle_stack, idle_http, tmp_path, LARGE_BYTES)
    first = upload.start()
    wait_until(upload.arrived, within_s=WITHIN_S)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = upload.file()
    kill_store(idle_stack)
    again = upload.start()
    upload.check(again)
    after = upload.file()

    assert before is not None and before["status"] == "awaiting_upload"
    assert after is not None and after["id"] == before["id"], "it began another file instead of resuming"


def test_upload_with_one_request_ends_well_in_the_same_run(
    idle_stack: Stack, idle_http: httpx2.Client, tmp_path: Path
) -> None:
    """The store takes the connection but not the bytes, and is then killed."""
    upload = Upload(idle_stack, idle_http, tmp_path, SMALL_BYTES)
    os.kill(idle_stack.pids["s3"], signal.SIGSTOP)
    process = upload.start()
    wait_until(upload.file, within_s=WITHIN_S)
    kill_store(idle_stack)

    upload.check(process)
