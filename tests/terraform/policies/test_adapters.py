"""The adapters of the services work with the policies of their roles: nothing that they call is missing there."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from converto_core.errors import ObjectStoreUnavailable
from converto_core.ports.objects import PresignedRequest, UploadedPart
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import MIB, Settings
from converto_infra.sqs.queue import Queue
from tests.terraform.policies.account import REGION, Account

pytestmark = pytest.mark.timeout(300)

FILE, CONVERSION = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
SOURCE, OUTPUT = f"t/jane/in/{FILE}/1/source", f"t/jane/out/{CONVERSION}/1/result.pdf"
MARK = "converto/database"
CONTENT = b"0123456789"
LARGE = b"1" * (5 * MIB + 10)
TYPE = "application/pdf"


@pytest.fixture
def store_of(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], S3ObjectStore]]:
    """Build the store of a service as on ECS: without keys in its settings, with those of the role around it."""
    stores: list[S3ObjectStore] = []

    def build(document: str) -> S3ObjectStore:
        act_as(account, document, monkeypatch)
        stores.append(S3ObjectStore.connect(settings(account)))
        return stores[-1]

    account.aws.decisions()
    with account.aws.enforcing():
        yield build
    for store in stores:
        asyncio.run(store.close())


def act_as(account: Account, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = account.sessions[document]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", str(session.session_token))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(account.aws.certificate))


def settings(account: Account) -> Settings:
    return Settings(
        s3_endpoint_url=account.aws.https_url, s3_bucket=account.bucket, s3_region=REGION, part_size_bytes=5 * MIB
    )


def send(account: Account, request: PresignedRequest, body: bytes | None = None) -> tuple[bytes, str]:
    """Send a presigned request as a client would; return the body and the ETag of the answer."""
    headers = {"Content-Type": "application/octet-stream", **request.headers}  # urllib would call the bytes a form
    wanted = urllib.request.Request(request.url, data=body, headers=headers, method=request.method)
    with urllib.request.urlopen(wanted, timeout=20, context=tls(account)) as answer:
        return answer.read(), answer.headers.get("ETag", "")


def tls(account: Account) -> ssl.SSLContext:
    return account.aws.tls()


def denied(account: Account) -> list[str]:
    return [f"{one['action']} {one['resource']}" for one in account.aws.decisions() if not one["allowed"]]


@pytest.mark.parametrize("document", ["file_service", "housekeeping"])
async def test_file_keeper_can_do_all_it_does(
    account: Account, document: str, store_of: Callable[[str], S3ObjectStore], tmp_path: Path
) -> None:
    store, path = store_of(document), tmp_path / "file"
    path.write_bytes(LARGE)

    await store.ping()
    await store.now_ms()
    assert await store.head("t/jane/in/none/1/source") is None  # 404, not 403: the role may list
    upload = await store.presign_put(SOURCE, size_bytes=len(CONTENT), content_type=TYPE, sha256=None)
    await asyncio.to_thread(send, account, upload, CONTENT)
    assert await store.read_range(SOURCE, start=2, length=3) == b"234"
    await store.upload(path, SOURCE, content_type=TYPE, filename="a.pdf")
    await store.copy(SOURCE, OUTPUT, size_bytes=len(LARGE), content_type=TYPE, filename="a.pdf")
    download = await store.presign_get(OUTPUT, filename="a.pdf", content_type=TYPE)
    assert (await asyncio.to_thread(send, account, download))[0] == LARGE
    assert (await store.hash(OUTPUT, size_bytes=len(LARGE))).size_bytes == len(LARGE)
    await multipart(account, store)
    await store.put(MARK, b"id", content_type="text/plain")
    assert await store.read_range(MARK, start=0, length=9) == b"id"
    assert SOURCE in await store.list_keys(f"t/jane/in/{FILE}/")
    assert (await store.list_page("t/", after=None, limit=10)).objects
    assert await store.list_uploads("t/", after=None, limit=10) is not None
    await store.delete([SOURCE, OUTPUT])

    assert denied(account) == []


async def multipart(account: Account, store: S3ObjectStore) -> None:
    """Upload in one part by a presigned URL and complete it; start another upload and abort it."""
    upload_id = await store.start_multipart(SOURCE, content_type=TYPE)
    (part,) = await store.presign_parts(SOURCE, upload_id, [1])
    _, etag = await asyncio.to_thread(send, account, part, CONTENT)
    assert [one.part_number for one in await store.list_parts(SOURCE, upload_id)] == [1]
    await store.complete_multipart(SOURCE, upload_id, [UploadedPart(part_number=1, etag=etag)])
    await store.abort_multipart(SOURCE, await store.start_multipart(SOURCE, content_type=TYPE))


async def test_worker_can_do_all_it_does(
    account: Account, store_of: Callable[[str], S3ObjectStore], tmp_path: Path
) -> None:
    source, path = "t/owner/in/11111111-1111-4111-8111-111111111111/1/source", tmp_path / "file"
    store = store_of("worker")

    await store.ping()
    await store.download(source, path)
    path.write_bytes(LARGE)
    await store.upload(path, OUTPUT, content_type=TYPE, filename="a.pdf")
    copied = OUTPUT.replace("/1/", "/2/")
    await store.copy(OUTPUT, copied, size_bytes=len(LARGE), content_type=TYPE, filename="a.pdf")
    assert (await store.hash(copied, size_bytes=len(LARGE))).size_bytes == len(LARGE)
    assert await store.head(OUTPUT.replace("/1/", "/3/")) is None
    await store.delete([OUTPUT, copied])

    assert denied(account) == []


async def test_worker_cannot_sign_what_it_may_not_do(
    account: Account, store_of: Callable[[str], S3ObjectStore]
) -> None:
    store = store_of("worker")
    forged = await store.presign_put(SOURCE, size_bytes=len(CONTENT), content_type=TYPE, sha256=None)

    with pytest.raises(urllib.error.HTTPError, match="403"):
        await asyncio.to_thread(send, account, forged, CONTENT)
    with pytest.raises(ObjectStoreUnavailable):
        await store.list_uploads("t/", after=None, limit=10)
    assert set(denied(account)) == {
        f"s3:PutObject arn:aws:s3:::{account.bucket}/{SOURCE}",
        f"s3:ListBucketMultipartUploads arn:aws:s3:::{account.bucket}",
    }


def test_file_service_consumes_upload_events(
    account: Account, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    sqs = account.aws.client("sqs", region=REGION)
    event = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": SOURCE}}}]}
    sqs.send_message(QueueUrl=account.queue_url, MessageBody=json.dumps(event))
    act_as(account, "file_service", monkeypatch)
    account.aws.decisions()

    with account.aws.enforcing():
        queue = Queue(settings(account), account.queue_url, wait_s=1)
        messages = queue.receive()
        queue.hide(messages[0], 0)
        queue.delete(messages)

    assert messages
    assert denied(account) == []
    record_property("executed", "the adapters for S3 and SQS as file service, housekeeping and worker")
