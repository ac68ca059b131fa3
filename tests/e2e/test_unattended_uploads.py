"""A client that dies after its upload gets its conversion without ever confirming (C7, M1), on any S3 server.

The looks at uploads are seconds apart in the stack of the tests, and a minute and more by default.
"""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.assets.make_samples import make_samples
from tests.e2e.plain_http import fetch, wait_until

WITHIN_S = 60
CLIENT = """
import json, os, pathlib, signal, sys
import httpx2

address, key, path, multipart = sys.argv[1:]
body = pathlib.Path(path).read_bytes()
with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
    file = {"filename": os.path.basename(path), "size_bytes": len(body), "multipart": multipart == "yes"}
    wanted = {"target_format": "webp", "fresh": True, "file": file}
    created = http.post(f"{address}/api/v1/conversions", json=wanted).json()
    upload = created["upload"]
    if upload["kind"] == "single":
        httpx2.put(upload["url"], content=body, headers=upload["headers"]).raise_for_status()
    else:
        numbers = list(range(1, upload["part_count"] + 1))
        asked = http.post(f"{address}/api/v1/files/{created['file']['id']}/parts", json={"part_numbers": numbers})
        size = upload["part_size_bytes"]
        for number, part in enumerate(asked.json()["parts"]):
            httpx2.put(part["url"], content=body[number * size : (number + 1) * size]).raise_for_status()
print(json.dumps(created["conversion"]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"))["drawing.png"]


@pytest.mark.parametrize("multipart", ["no", "yes"])
def test_upload_of_a_killed_client_is_converted(stack: Any, http: httpx2.Client, picture: Path, multipart: str) -> None:
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, stack.url, stack.api_key, str(picture), multipart],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert client.returncode == -signal.SIGKILL, client.stderr
    conversion = json.loads(client.stdout)

    def ended() -> dict[str, Any] | None:
        found = http.get(f"/api/v1/conversions/{conversion['id']}").json()
        return found if found["status"] in {"completed", "failed"} else None

    def whole_history() -> list[str] | None:
        """The events once all have been written, which happens in the background."""
        found = http.get(f"/api/v1/conversions/{conversion['id']}/history").json()
        return [entry["event"] for entry in found["history"]] if found["missing"] == 0 else None

    found = wait_until(ended, within_s=WITHIN_S)
    events = wait_until(whole_history, within_s=WITHIN_S)
    file = http.get(f"/api/v1/files/{conversion['file_id']}").json()
    (output,) = fetch(http, conversion["id"])

    assert conversion["status"] == "awaiting_upload"
    assert found["status"] == "completed", found
    assert events == ["created", "queued", "started", "completed"]
    assert (file["status"], file["sha256"]) == ("uploaded", hashlib.sha256(picture.read_bytes()).hexdigest())
    assert output[8:12] == b"WEBP"
