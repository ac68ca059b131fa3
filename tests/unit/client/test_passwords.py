"""The password of an encrypted file goes to the server and to nothing on this machine."""

import json
from pathlib import Path

from converto_client import AsyncConverto
from tests.unit.client.fake_service import FakeService

WORD = "Sesam öffne dich"


async def test_upload_comes_first_and_the_password_after_it(
    client: AsyncConverto, service: FakeService, deck: Path, tmp_path: Path
) -> None:
    """What is stored to resume an upload is hashed over its request, which could be guessed."""
    conversion = await client.convert(deck, "pdf", options={"dpi": 100}, password=WORD)

    (announced,) = service.sent("POST", "/api/v1/files")
    (created,) = service.sent("POST", "/api/v1/conversions")
    body = json.loads(created.content)
    assert body["options"] == {"dpi": 100, "password": WORD}
    assert "file" not in body
    assert WORD.encode() not in announced.content
    assert list((tmp_path / "state").glob("*")) == []
    assert (await conversion.wait()).record.status == "completed"


async def test_retry_takes_the_password_again(client: AsyncConverto, service: FakeService, deck: Path) -> None:
    conversion = await client.convert(deck, "pdf")
    await client.retry(conversion.id, password=WORD)
    await conversion.retry(password=WORD)
    await conversion.retry()

    bodies = [request.content for request in service.sent("POST", ".*/retry")]
    assert [json.loads(body) if body else None for body in bodies] == [{"password": WORD}, {"password": WORD}, None]
