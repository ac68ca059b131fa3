"""The demo notices wrong results: a still picture for a film, missing pages, another size, a file of another kind."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from deploy.local.demo import judge
from deploy.local.demo_checks import RIGHT, Content, faults, look, right_of
from deploy.local.demo_files import SHOWN
from deploy.local.demo_report import FileResult, result_of
from tests.assets.captions import captions
from tests.assets.film import clip, tone
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.models import model_files
from tests.engines.pictures.small_pictures import animation


@pytest.fixture
def still(tmp_path: Path) -> Path:
    Image.new("RGB", (160, 120)).save(tmp_path / "clip.gif")
    return tmp_path / "clip.gif"


def test_every_shown_conversion_has_a_right_result() -> None:
    assert set(RIGHT) == {(name, target) for name, target, _ in SHOWN}


def test_still_picture_of_a_film_is_wrong(still: Path) -> None:
    assert faults([still], RIGHT["clip.avi", "gif"]) == [
        "frames: 1 instead of 30",
        "seconds: 0.0 instead of 3.0",
    ]
    assert faults([still], right_of("a.mov", "gif")) == ["moves: False instead of True"]


def test_wrong_result_is_shown_as_a_failure(still: Path) -> None:
    row = FileResult(file="clip.avi", target="gif", status="completed", outputs=[str(still)])

    judge(row, [still], Content(moves=True))

    assert not row.ok
    assert result_of(row) == "WRONG RESULT: moves: False instead of True"


def test_missing_pages_are_wrong(tmp_path: Path) -> None:
    two = make_pdf(tmp_path / "two.pdf", [Page(), Page()])

    assert faults([two], Content(pages=3)) == ["pages: 2 instead of 3"]
    assert faults([two], Content(pages=2)) == []


def test_page_pictures_count_as_pages(still: Path) -> None:
    assert faults([still, still], Content(pages=2, frames=1)) == []
    assert faults([still], Content(pages=2)) == ["pages: 1 instead of 2"]


def test_unreadable_result_is_wrong(tmp_path: Path) -> None:
    for name in ("a.pdf", "a.png", "a.mp4", "a.glb"):
        (tmp_path / name).write_bytes(struct.pack("<4s4I", b"none", 2, 0, 0, 0) * 9)

        (fault,) = faults([tmp_path / name], Content())

        assert fault.startswith(f"{name} cannot be read: ")
    assert faults([], Content()) == ["there is no file"]


def test_each_kind_of_result_is_looked_into(tmp_path: Path) -> None:
    for name, body in (("a.avi", clip()), ("a.wav", tone()), ("a.srt", captions()), ("a.glb", model_files.glb())):
        (tmp_path / name).write_bytes(body)

    assert look(tmp_path / "a.avi") == Content(size=(160, 120), frames=30, seconds=3.0, sound=1)
    assert look(tmp_path / "a.wav") == Content(frames=0, seconds=3.0, sound=1)
    assert look(tmp_path / "a.srt") == Content(cues=5)
    assert look(tmp_path / "a.glb") == Content(triangles=12)
    assert look(animation(tmp_path / "a.webp")) == Content(size=(60, 40), frames=3, seconds=0.6)
