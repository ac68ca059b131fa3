"""The blocking client does what the asynchronous one does, under the same names."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from converto_client import Admin, AsyncAdmin, AsyncConversion, AsyncConverto, Conversion, Converto, Forbidden, NotFound
from tests.unit.client.fake_service import BASE, KEY, FakeService

ROOT = Path(__file__).resolve().parents[3]


def test_chained_convert_saves_the_result(service: FakeService, deck: Path, tmp_path: Path) -> None:
    with Converto(BASE, KEY, http=service.transport()) as client:
        saved = client.convert(deck, to="pdf").wait().save(tmp_path / "out")

    assert saved[0].read_bytes() == b"%PDF result"


def test_appended_files_are_uploaded_and_joined_in_order(service: FakeService, deck: Path, tmp_path: Path) -> None:
    more = [tmp_path / name for name in ("b.pdf", "a.pdf")]
    for path in more:
        path.write_bytes(path.name.encode())
    with Converto(BASE, KEY, http=service.transport()) as client:
        client.convert(deck, to="pdf", options={"pages": "1"}, append=[more[0], more[1], more[0]])

    (asked,) = service.sent("POST", "/api/v1/conversions")
    body = json.loads(asked.content)
    names = [service.files[number]["filename"] for number in (body["file_id"], *body["append_file_ids"])]
    assert names == ["deck.pptx", "b.pdf", "a.pdf", "b.pdf"]
    assert body["options"] == {"pages": "1"}


def test_events_end_with_the_conversion(service: FakeService, deck: Path) -> None:
    service.events = [service.event("snapshot", "1") + service.event("conversion", "2", status="completed")]
    with Converto(BASE, KEY, http=service.transport()) as client:
        seen = [record.status for record in client.convert(deck, to="pdf").events()]

    assert seen == ["processing", "completed"]


def test_error_in_the_event_loop_reaches_the_caller(service: FakeService) -> None:
    with Converto(BASE, KEY, http=service.transport()) as client, pytest.raises(NotFound):
        client.status("unknown")


def test_dead_letters_are_handled_by_administrators_only(service: FakeService) -> None:
    service.parked = {
        number: {"id": number, "reason": "rejected", "outlook": "waits", "advice": "requeue it"} for number in "abcd"
    }
    with Converto(BASE, KEY, http=service.transport()) as client:
        page = client.admin.parked(reason="rejected", limit=3)
        assert [message.id for message in page.messages] == ["a", "b", "c"]
        assert page.next == "3"
        assert client.admin.parked_message("a").outlook == "waits"
        assert client.admin.requeue_parked("a").id == "a"
        client.admin.drop_parked("b")
        assert client.admin.requeue_many_parked(reason="rejected").settled == 1
        assert client.admin.drop_many_parked().settled == 1
        assert service.parked == {}
        service.is_admin = False
        with pytest.raises(Forbidden, match="administrator"):
            client.admin.parked()


def test_program_ends_although_its_client_is_not_closed() -> None:
    code = "import converto_client; kept = converto_client.Converto('http://converto.test')"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "libs"}, cwd=ROOT, check=False, timeout=20
    )

    assert ended.returncode == 0


def test_client_may_be_closed_twice(service: FakeService) -> None:
    client = Converto(BASE, KEY, http=service.transport())
    client.close()
    client.close()


@pytest.mark.parametrize(
    ("plain", "other"), [(Converto, AsyncConverto), (Conversion, AsyncConversion), (Admin, AsyncAdmin)]
)
def test_both_clients_have_the_same_methods_and_arguments(plain: type, other: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in found if name[0] != "_"}

    renamed = {"aclose": "close"}
    assert methods(plain) == {renamed.get(name, name): arguments for name, arguments in methods(other).items()}
