"""The main user journeys over the whole running stack: the command line, and plain HTTP with presigned requests.

Proves I1, I2, I3, I4, I12, I13, M2, M3, M4, M5, M15, C1, C2, C3, C4, C5, C12 end to end.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pypdfium2
import pytest
from PIL import Image

from converto_core.formats import BY_NAME
from converto_engines.sniffing import sniff
from deploy.local.demo_files import SHOWN
from deploy.local.home import REPOSITORY
from tests.assets.make_samples import make_samples
from tests.assets.plain_pdf import Page, make_pdf
from tests.e2e.command_line import converto
from tests.e2e.plain_http import fetch, finish, start


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_samples(tmp_path_factory.mktemp("samples"))


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_cli_converts_several_kinds_of_files(stack: Any, samples: dict[str, Path], tmp_path: Path) -> None:
    """M2, C5, I4: real programs, real results."""
    done = converto(
        stack,
        "convert", str(samples["deck.pptx"]), str(samples["report.docx"]), str(samples["table.xlsx"]),
        "--to", "pdf", "-o", str(tmp_path / "out"), "--json",
        cwd=tmp_path,
    )  # fmt: skip

    assert json.loads(done.stdout)
    pages = {
        name: len(pypdfium2.PdfDocument(tmp_path / "out" / name)) for name in ("deck.pdf", "report.pdf", "table.pdf")
    }
    assert pages["deck.pdf"] == 3
    assert pages["report.pdf"] >= 2
    assert pages["table.pdf"] >= 1


def test_cli_converts_a_deck_to_one_picture_per_slide(
    stack: Any, http: httpx2.Client, samples: dict[str, Path], tmp_path: Path
) -> None:
    """W2 in part: office → pdf → png."""
    converto(
        stack,
        "convert",
        str(samples["deck.pptx"]),
        "--to",
        "png",
        "--option",
        "dpi=72",
        "-o",
        str(tmp_path),
        cwd=tmp_path,
    )

    pictures = sorted(tmp_path.glob("deck-*.png"))
    newest = http.get("/api/v1/conversions", params={"target_format": "png", "limit": 1}).json()["conversions"][0]
    assert len(pictures) == 3
    assert [step["target_format"] for step in newest["plan"]] == ["pdf", "png"]
    assert all(min(size_of(picture)) > 300 for picture in pictures)


def test_cli_merges_pdfs_in_order(stack: Any, samples: dict[str, Path], tmp_path: Path) -> None:
    """M2: several files become one."""
    first = make_pdf(tmp_path / "first.pdf", [Page(200, 100), Page(210, 100)])
    second = make_pdf(tmp_path / "second.pdf", [Page(300, 100)])
    done = converto(
        stack, "convert", str(second), str(first), "--merge", "--to", "pdf", "-o", "out", "--json", cwd=tmp_path
    )  # fmt: skip

    (result,) = json.loads(done.stdout)["results"]
    (made,) = result["outputs"]
    with pypdfium2.PdfDocument(tmp_path / made) as document:
        assert [document.get_page_size(index)[0] for index in range(len(document))] == [300, 200, 210]

    refused = converto(
        stack, "convert", str(first), str(samples["photo.jpg"]), "--merge", "--to", "pdf", cwd=tmp_path, check=None
    )
    assert refused.returncode != 0
    assert "cannot be joined" in refused.stderr


def test_presigned_flow_by_plain_http(stack: Any, http: httpx2.Client, samples: dict[str, Path]) -> None:
    """I1, I2, I3, C1, C2, M4: immediate response, direct upload, complete records."""
    source = samples["drawing.png"]
    conversion = start(http, source, "webp", client_id="wall-7", options={"quality": 70})
    ended = finish(http, conversion["id"])
    file = http.get(f"/api/v1/files/{conversion['file_id']}").json()
    (picture,) = fetch(http, conversion["id"])

    assert conversion["status"] == "awaiting_upload"
    assert ended["status"] == "completed"
    assert ended["percent"] == 100
    assert ended["attempt"] == 1
    assert ended["started_at"] <= ended["completed_at"]
    assert ended["output_filename"] == "drawing.webp"
    assert file["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert file["sha512"] == hashlib.sha512(source.read_bytes()).hexdigest()
    assert file["detected_type"] == "image/png"
    assert picture[8:12] == b"WEBP"


def test_presigned_urls_bypass_the_service(stack: Any, http: httpx2.Client, samples: dict[str, Path]) -> None:
    """C7 in part: uploads and downloads never pass through the service."""
    source = samples["drawing.png"]
    body = {"target_format": "webp", "file": {"filename": source.name, "size_bytes": source.stat().st_size}}
    upload = http.post("/api/v1/conversions", json=body).json()["upload"]
    ended = finish(http, start(http, source, "jpg")["id"])
    outputs = http.get(f"/api/v1/conversions/{ended['id']}/outputs").json()["outputs"]

    service = urlsplit(stack.url).netloc
    assert urlsplit(upload["url"]).netloc != service
    assert urlsplit(outputs[0]["url"]).netloc != service


def test_form_upload_when_small_then_one_request_is_enough(http: httpx2.Client, samples: dict[str, Path]) -> None:
    """C1: multipart/form-data for small files."""
    source = samples["photo.jpg"]
    created = http.post(
        "/api/v1/conversions",
        files={"file": (source.name, source.read_bytes(), "image/jpeg")},
        data={"target_format": "webp"},
    )
    ended = finish(http, created.json()["conversion"]["id"])

    assert created.status_code == 201
    assert ended["status"] == "completed"


def test_event_stream_starts_with_snapshot_and_ends_with_completion(
    http: httpx2.Client, samples: dict[str, Path]
) -> None:
    """C5: progress is live."""
    conversion = start(http, samples["deck.pptx"], "pdf")
    seen: list[dict[str, Any]] = []
    kinds: list[str] = []
    with http.stream("GET", f"/api/v1/conversions/{conversion['id']}/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("event:"):
                kinds.append(line.partition(":")[2].strip())
            if line.startswith("data:"):
                seen.append(json.loads(line.partition(":")[2]))

    percents = [body["percent"] for body in seen]
    assert kinds[0] == "snapshot"
    assert seen[-1]["status"] == "completed"
    assert percents == sorted(percents)


def test_repeated_post_with_its_key_creates_one_conversion(http: httpx2.Client, samples: dict[str, Path]) -> None:
    body = {"target_format": "webp", "file": {"filename": "a.png", "size_bytes": 10}}
    headers = {"Idempotency-Key": os.urandom(8).hex()}
    first = http.post("/api/v1/conversions", json=body, headers=headers)
    second = http.post("/api/v1/conversions", json=body, headers=headers)

    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"


def test_list_filters_by_client(stack: Any, http: httpx2.Client, samples: dict[str, Path], tmp_path: Path) -> None:
    """M3: by client, one or many statuses in one call; the command line lists the same."""
    label = f"client-{os.urandom(4).hex()}"
    ids = [start(http, samples["drawing.png"], target, client_id=label)["id"] for target in ("webp", "jpg", "gif")]
    for conversion_id in ids:
        finish(http, conversion_id)
    page = http.get("/api/v1/conversions", params={"client_id": label, "status": "completed,failed", "limit": 2}).json()
    rest = http.get("/api/v1/conversions", params={"client_id": label, "limit": 2, "after": page["next"]}).json()
    listed = converto(stack, "list", "--client-id", label, "--json", cwd=tmp_path)

    assert [entry["id"] for entry in page["conversions"] + rest["conversions"]] == sorted(ids, reverse=True)
    assert all(conversion_id in listed.stdout for conversion_id in ids)


def test_finished_conversion_when_deleted_then_it_is_gone(http: httpx2.Client, samples: dict[str, Path]) -> None:
    """M3: delete an entry."""
    ended = finish(http, start(http, samples["drawing.png"], "webp")["id"])

    assert http.delete(f"/api/v1/conversions/{ended['id']}").status_code == 204
    assert http.get(f"/api/v1/conversions/{ended['id']}").status_code == 404


def test_bad_requests_when_sent_then_each_is_a_clear_problem(http: httpx2.Client) -> None:
    """C12, M5: unknown target, bad id, unknown id, empty, too large."""

    def ask(filename: str, size_bytes: int, target: str) -> httpx2.Response:
        file = {"filename": filename, "size_bytes": size_bytes}
        return http.post("/api/v1/conversions", json={"target_format": target, "file": file})

    cases = [
        (ask("a.png", 3, "nope"), 422),
        (ask("a.pptx", 0, "pdf"), 422),
        (ask("a.pptx", 10**15, "pdf"), 413),
        (ask("a.png", 3, "mp4"), 422),
        (http.get("/api/v1/conversions/not-an-id"), 400),
        (http.get("/api/v1/conversions/01890000-0000-7000-8000-000000000000"), 404),
        (http.get("/api/v1/conversions", headers={"Authorization": "Bearer cvt_no_no"}), 401),
    ]

    for answer, status in cases:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert {"code", "detail", "title", "retryable", "request_id"} <= answer.json().keys()
    assert "webp" in cases[3][0].json()["detail"]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "target", "code"),
    [
        ("hostile_made/exe_named.pptx", "pdf", "source_type_mismatch"),
        ("hostile_made/html_named.pdf", "png", "source_type_mismatch"),
        ("hostile_made/png_named.mp4", "webp", "source_type_mismatch"),
        ("hostile_made/truncated_half.docx", "pdf", "source_corrupt"),
        ("hostile_made/truncated_half.pptx", "pdf", "source_corrupt"),
        ("hostile_made/truncated_half.png", "webp", "source_corrupt"),
        ("hostile_made/random.pptx", "pdf", None),
        ("hostile_made/encrypted_user.pdf", "png", "source_encrypted"),
        ("hostile_found/tika__testWORD_protected_passtika.docx", "pdf", "source_encrypted"),
        ("hostile_found/poi__protected_passtika.xlsx", "pdf", "source_encrypted"),
    ],
)
def test_bad_file_fails_clearly_and_blocks_nothing(
    http: httpx2.Client, corpus: Path, samples: dict[str, Path], name: str, target: str, code: str | None
) -> None:
    """I13, I4: renamed, truncated and encrypted files fail with a readable message and block nothing."""
    source = corpus / name
    created = http.post(
        "/api/v1/conversions",
        json={"target_format": target, "file": {"filename": source.name, "size_bytes": source.stat().st_size}},
    )
    if created.status_code == 422:
        assert created.json()["code"] == "unsupported_conversion"
    else:
        ended = finish(http, start(http, source, target)["id"])
        assert ended["status"] == "failed"
        assert code is None or ended["error"]["code"] == code
        assert len(ended["error"]["message"]) > 20
        assert "/" not in ended["error"]["message"].replace("and/or", "")

    assert finish(http, start(http, samples["deck.pptx"], "pdf")["id"])["status"] == "completed"


def test_cli_refuses_an_empty_file(stack: Any, tmp_path: Path) -> None:
    """I13."""
    empty = tmp_path / "empty.pptx"
    empty.touch()
    done = converto(stack, "convert", str(empty), "--to", "pdf", cwd=tmp_path, check=None)

    assert done.returncode not in (0, 2)
    assert "empty" in done.stderr.lower()


def test_health_and_workers_of_a_healthy_stack(http: httpx2.Client) -> None:
    """C3, I12, M15."""
    health = http.get("/api/health").json()
    workers = http.get("/api/v1/workers").json()["workers"]

    assert health["status"] == "ok"
    assert {name: check["status"] for name, check in health["checks"].items()} == {
        "database": "ok",
        "broker": "ok",
        "object_store": "ok",
    }
    assert len(workers) >= 2
    assert all(worker["sandbox"] in {"bubblewrap", "seccomp"} for worker in workers)


@pytest.mark.parametrize(("name", "target", "options"), SHOWN, ids=str)
def test_samples_of_every_family_convert(
    http: httpx2.Client, samples: dict[str, Path], name: str, target: str, options: dict[str, Any]
) -> None:
    """M10, M11, W2, C6 through the whole system; the dry run plans the steps that are then run."""
    planned = http.post("/api/v1/plans", json={"filename": name, "target_format": target, "options": options}).json()
    done = finish(http, start(http, samples[name], target, options=options)["id"])

    assert done["status"] == "completed", done["error"]
    assert [step["converter"] for step in done["plan"]] == [step["converter"] for step in planned["steps"]]
    for body in fetch(http, done["id"]):
        assert sniff.sniff(body, filename=f"result.{target}", size_bytes=len(body)).format == target


def test_stack_offers_every_format_of_the_readme(http: httpx2.Client) -> None:
    """Keeps the table of formats in the README true."""
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| .+ \|$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    documented = {
        (source, target)
        for sources, targets in rows
        for source in formats_in(sources)
        for target in formats_in(targets)
        if source != target
    }
    offered = {(route["source"], route["target"]) for route in http.get("/api/v1/formats").json()["routes"]}

    assert len(documented) > 60
    assert documented - offered == set()


def formats_in(cell: str) -> set[str]:
    """Return the format names of a table cell, without remarks in brackets or after a colon."""
    return set(re.findall(r"[a-z0-9]+", re.split(r"[(:]", cell)[0])) & BY_NAME.keys()
