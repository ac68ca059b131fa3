"""Fixtures of the video tests: the converter and the sample videos they share."""

from pathlib import Path

import pytest

from converto_engines.media.video import Video
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from converto_engines.runtime.process import Sandbox
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    SOUND,
    ffmpeg,
    lavfi,
    tone,
)


@pytest.fixture(scope="session")
async def video(sandbox: Sandbox) -> Video:
    converter = Video(sandbox)
    assert await converter.version()
    return converter


@pytest.fixture(scope="session")
def frame(sandbox: Sandbox) -> VideoFrame:
    return VideoFrame(sandbox)


@pytest.fixture(scope="session")
def gif(sandbox: Sandbox) -> VideoGif:
    return VideoGif(sandbox)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="session")
def plain(folder: Path) -> Path:
    path = folder / "plain.mp4"
    ffmpeg(*lavfi(PATTERN, tone(440)), *FAST, *SOUND, path)
    return path
