"""Results that vanish or change in the object store, on the running stack: told, never handed out, made again (I8)."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config

from tests.assets.drawing.canvas import Canvas
from tests.assets.drawing.picture_files import png
from tests.assets.drawing.pictures import lake_at_dusk
from tests.assets.plain_pdf import Page, make_pdf
from tests.e2e.command_line import converto
from tests.e2e.plain_http import fetch, finish
from tests.e2e.test_cache import send

ADDRESS = "/api/v1/conversions"


@pytest.fixture
def picture() -> bytes:
    """A picture that no other test has sent."""
    canvas: Canvas = lake_at_dusk(320, 200)
    canvas.run(0, 0, 32, tuple(secrets.token_bytes(3)))
    canvas.run(1, 0, 32, tuple(secrets.token_bytes(3)))
    return png(canvas)


def stored_file(stack: Any, folder: str, record_id: str, *, number: int = 1) -> Path:
    """The file in which the laptop's object store keeps this output, or this source."""
    found = sorted(stack.home.data.glob(f"**/{folder}/{record_id}/*/*"))
    return Path(found[number - 1])


def replace_bytes(path: Path) -> None:
    """Write other bytes of the same size, as a failing disk or a wrong hand does."""
    body = path.read_bytes()
    path.write_bytes(os.urandom(len(body)))


def delete_object(stack: Any, path: Path) -> None:
    """Delete the object through the S3 API, as a wrong lifecycle rule does."""
    settings = stack.environment
    s3 = boto3.client(
        "s3",
        endpoint_url=settings["CONVERTO_S3_ENDPOINT_URL"],
        aws_access_key_id=settings["CONVERTO_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["CONVERTO_S3_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    bucket, key = str(path).rpartition("/t/")[0].rpartition("/")[2], "t/" + str(path).rpartition("/t/")[2]
    s3.delete_object(Bucket=bucket, Key=key)


def spoil(stack: Any, path: Path, how: str) -> None:
    if how == "replaced":
        replace_bytes(path)
    else:
        delete_object(stack, path)


def refused(answer: httpx2.Response, code: str) -> dict[str, Any]:
    """Check that the answer is the problem with this code."""
    assert answer.status_code == 410, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["code"] == code
    return body


@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_lost_result_is_told_and_made_again(stack: Any, http: httpx2.Client, picture: bytes, how: str) -> None:
    first = finish(http, send(http, picture, "lake.png", "webp")["id"])
    spoil(stack, stored_file(stack, "out", first["id"]), how)

    refused(http.get(f"{ADDRESS}/{first['id']}/outputs/1", follow_redirects=False), "result_lost")
    refused(http.get(f"{ADDRESS}/{first['id']}/outputs"), "result_lost")
    marked = http.get(f"{ADDRESS}/{first['id']}").json()
    again = http.post(f"{ADDRESS}/{first['id']}/retry", json={})
    ended = finish(http, first["id"])
    (body,) = fetch(http, first["id"])

    assert (marked["status"], marked["error"]["code"]) == ("completed", "result_lost")
    assert again.status_code == 202
    assert (ended["status"], ended["error"], ended["from_cache"]) == ("completed", None, False)
    assert hashlib.sha256(body).hexdigest() == first["outputs"][0]["sha256"]


@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_same_request_never_gets_the_damaged_result(stack: Any, http: httpx2.Client, picture: bytes, how: str) -> None:
    """I8: nobody has downloaded the result in between, so the next request is the first to look."""
    first = finish(http, send(http, picture, "first.png", "webp")["id"])
    spoil(stack, stored_file(stack, "out", first["id"]), how)

    second = finish(http, send(http, picture, "second.png", "webp")["id"])
    third = finish(http, send(http, picture, "third.png", "webp")["id"])
    bodies = [fetch(http, one["id"])[0] for one in (second, third)]

    assert (second["from_cache"], third["from_cache"]) == (False, True)
    assert {hashlib.sha256(body).hexdigest() for body in bodies} == {first["outputs"][0]["sha256"]}
    assert http.get(f"{ADDRESS}/{first['id']}").json()["result_lost_at"] is not None


def test_one_missing_page_is_named_and_comes_back(stack: Any, http: httpx2.Client, tmp_path: Path) -> None:
    """On the command line: `download` says what is lost, `retry` makes it, `download` saves all pages."""
    pages = [Page(text=f"page {number} {secrets.token_hex(4)}") for number in range(1, 5)]
    body = make_pdf(tmp_path / "four.pdf", pages).read_bytes()
    done = finish(http, send(http, body, "four.pdf", "png")["id"])
    delete_object(stack, stored_file(stack, "out", done["id"], number=3))

    lost = converto(stack, "download", done["id"], "--json", cwd=tmp_path, check=None)
    third = refused(http.get(f"{ADDRESS}/{done['id']}/outputs/3", follow_redirects=False), "result_lost")
    second = http.get(f"{ADDRESS}/{done['id']}/outputs/2", follow_redirects=False)
    converto(stack, "retry", done["id"], cwd=tmp_path)
    finish(http, done["id"])
    converto(stack, "download", done["id"], "-o", "pages", cwd=tmp_path)

    report = json.loads(lost.stdout)["downloads"][0]["error"]
    assert lost.returncode == 1
    assert (report["code"], report["retryable"]) == ("result_lost", True)
    assert "converto retry" in report["message"]
    assert "four-3.png is missing" in third["detail"]
    assert second.status_code == 307
    saved = [path.read_bytes() for path in sorted((tmp_path / "pages").iterdir())]
    assert [hashlib.sha256(page).hexdigest() for page in saved] == [one["sha256"] for one in done["outputs"]]


def test_retry_says_that_the_source_is_lost_too(stack: Any, http: httpx2.Client, picture: bytes) -> None:
    done = finish(http, send(http, picture, "lake.png", "webp")["id"])
    delete_object(stack, stored_file(stack, "out", done["id"]))
    delete_object(stack, stored_file(stack, "in", done["file_id"]))

    refused(http.post(f"{ADDRESS}/{done['id']}/retry", json={}), "source_gone")
    refused(http.get(f"/api/v1/files/{done['file_id']}/content", follow_redirects=False), "source_gone")


def test_retry_with_a_damaged_source_fails_and_says_so(stack: Any, http: httpx2.Client, picture: bytes) -> None:
    done = finish(http, send(http, picture, "lake.png", "webp")["id"])
    delete_object(stack, stored_file(stack, "out", done["id"]))
    replace_bytes(stored_file(stack, "in", done["file_id"]))

    assert http.post(f"{ADDRESS}/{done['id']}/retry", json={}).status_code == 202
    ended = finish(http, done["id"])

    assert (ended["status"], ended["error"]["code"]) == ("failed", "checksum_mismatch")
    assert "upload it again" in ended["error"]["message"]
