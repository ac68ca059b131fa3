"""`POST /conversions` with a form: the file comes with the request and is checked first (I2, I13, C1, C12)."""

import pytest

from tests.unit.file_service.conftest import EXE, PNG, System, problem, running_system

ADDRESS = "/api/v1/conversions"


async def test_create_from_form_when_small_then_pending_with_both_hashes(system: System) -> None:
    """C1, I2: one request, hashed while it is stored."""
    form = {"target_format": "webp", "options": '{"quality": 80}', "client_id": "foyer"}

    answer = await system.api.post(ADDRESS, data=form, files={"file": ("a.png", PNG, "image/png")})

    body = answer.json()
    assert answer.status_code == 201, answer.text
    assert body["conversion"]["status"] == "pending"
    assert body["conversion"]["options"] == {"quality": 80}
    assert body["conversion"]["source_sha256"] == body["file"]["sha256"]
    assert len(body["file"]["sha512"]) == 128
    assert body["file"]["detected_type"] == "image/png"
    assert await system.objects.list_keys("t/anna/in/") != []


@pytest.mark.parametrize(
    ("filename", "content", "form", "status", "code"),
    [
        ("deck.pptx", EXE, {"target_format": "pdf"}, 422, "source_type_mismatch"),
        ("a.png", b"", {"target_format": "webp"}, 422, "empty_file"),
        ("a.png", PNG, {"target_format": "pdf"}, 422, "unsupported_conversion"),
        ("a.png", PNG, {}, 422, "invalid_request"),
        ("a.png", PNG, {"target_format": "webp", "options": "{"}, 400, "malformed_request"),
        ("a.png", PNG, {"target_format": "webp", "options": "[]"}, 422, "invalid_request"),
        ("a.png", PNG, {"target_format": "webp", "options": '{"quality":0}'}, 422, "options_invalid"),
        ("a.png", PNG, {"target_format": "webp", "surprise": "1"}, 422, "invalid_request"),
        ("a.bin", EXE, {"target_format": "pdf"}, 422, "source_unsupported"),
    ],
)
async def test_impossible_form_is_refused_before_anything_is_stored(
    system: System, *, filename: str, content: bytes, form: dict[str, str], status: int, code: str
) -> None:
    """I13, C12: checked by content at once."""
    answer = await system.api.post(ADDRESS, data=form, files={"file": (filename, content, "application/any")})

    problem(answer, status, code)
    assert await system.objects.list_keys("t/") == []
    assert await system.stores.conversions.count_by_status() == {}


async def test_create_from_form_when_file_is_missing_then_422(system: System) -> None:
    answer = await system.api.post(ADDRESS, files={"target_format": (None, "webp")})

    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "file"


async def test_malformed_form_is_a_problem(system: System) -> None:
    for headers in ({"content-type": "multipart/form-data"}, {"content-type": "multipart/form-data; boundary=x"}):
        answer = await system.api.post(ADDRESS, content=b"nonsense", headers=headers)

        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("size_bytes", [1024 + 1, 2 * 1024 * 1024])
async def test_form_above_the_size_limit_is_413(size_bytes: int) -> None:
    """C12: either the file or the whole body is too large."""
    async with running_system(max_form_bytes=1024) as system:
        content = PNG + b"\0" * (size_bytes - len(PNG))

        answer = await system.api.post(ADDRESS, data={"target_format": "webp"}, files={"file": ("a.png", content)})

        problem(answer, 413, "too_large")
