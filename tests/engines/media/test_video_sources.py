"""Videos that are too large, truncated, damaged, protected or hostile (behaviour I13), and cancelling."""

import asyncio
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import (
    ConversionError,
    CorruptSource,
    EncryptedSource,
    SourceTooLarge,
)
from converto_engines.converter import Limits
from converto_engines.media.video import Video
from converto_engines.runtime.process import Sandbox
from tests.engines.canary import Canary, listening
from tests.engines.conftest import RunJob, until
from tests.engines.media.media_files import (
    FAST,
    PATTERN,
    QUICK,
    SOUND,
    ffmpeg,
    frame_times,
    lavfi,
    scratched,
    tone,
)

LIMITS = [
    ({"duration_s": 1.0}, "lasts 2 s"),
    ({"streams": 1}, "2 tracks"),
    ({"pixels": 1000}, "96 × 64"),
]


@pytest.mark.parametrize(("limit", "message"), LIMITS)
async def test_source_over_a_limit_is_refused(
    video: Video, run_job: RunJob, plain: Path, limit: dict[str, Any], message: str
) -> None:
    """I13."""
    with pytest.raises(SourceTooLarge, match=message):
        await run_job(video, plain, "mp4", "mp4", limits=Limits(wall_s=60, cpu_s=60, **limit))


async def test_unknown_length_is_measured_and_limited(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "live.mkv"
    path.write_bytes(ffmpeg(*lavfi(PATTERN), *FAST, "-live", 1, "-f", "matroska", "-"))

    (product,) = await run_job(video, path, "mkv", "mp4", **QUICK)

    assert len(frame_times(product.path)) == 50
    with pytest.raises(SourceTooLarge):
        await run_job(video, path, "mkv", "mp4", limits=Limits(wall_s=60, cpu_s=60, duration_s=1))


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("kind", ["mp4", "fast.mp4", "mkv", "avi"])
async def test_truncated_source_is_corrupt(
    video: Video, run_job: RunJob, folder: Path, kind: str, share: float
) -> None:
    """I13: nothing truncated."""
    whole, cut = folder / f"ten.{kind}", folder / f"cut-{share}.{kind}"
    if not whole.exists():
        faststart = ["-movflags", "+faststart"] if kind == "fast.mp4" else []
        ffmpeg(*lavfi("testsrc2=s=96x64:r=25:d=10", tone(440, seconds=10)), *FAST, *SOUND, "-g", 25, *faststart, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(CorruptSource):
        await run_job(video, cut, kind.rpartition(".")[2], "mp4", **QUICK)


async def test_slightly_damaged_source_converts_with_a_note(video: Video, run_job: RunJob, folder: Path) -> None:
    path, notes = scratched(folder / "scratched.mp4"), []

    (product,) = await run_job(video, path, "mp4", "mp4", note=notes.append, **QUICK)

    assert len(frame_times(product.path)) >= 198
    assert len(notes) == 1
    assert "damaged" in notes[0]


async def test_badly_damaged_source_is_refused(video: Video, run_job: RunJob, plain: Path, tmp_path: Path) -> None:
    content = bytearray(plain.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + len(content) * 2 // 3] = bytes(len(content) * 2 // 3)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(content)

    with pytest.raises(ConversionError):
        await run_job(video, path, "mp4", "mp4", **QUICK)


async def test_copy_protected_source_is_refused(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "protected.mp4"
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "1" * 32]
    ffmpeg(*lavfi(PATTERN), *FAST, *key, path)

    with pytest.raises(EncryptedSource, match="DRM"):
        await run_job(video, path, "mp4", "mkv", **QUICK)


@pytest.fixture
def canary() -> Iterator[Canary]:
    """The server that hostile playlists point to."""
    with listening() as canary:
        yield canary


HOSTILE = {
    "hls": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}/a.mp4'\n",
    "concat of a file": "ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT10S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}/d.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", ["mp4", "avi", "ts", "mkv", "mpg", "flv", "wmv"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_playlist_named_as_video_is_refused_without_a_request(
    video: Video, run_job: RunJob, tmp_path: Path, plain: Path, canary: Canary, name: str, kind: str
) -> None:
    """I13: the demuxer is forced, so a playlist is never read as one."""
    path = tmp_path / f"list.{kind}"
    path.write_text(HOSTILE[name].format(url=canary.url, port=canary.url.rpartition(":")[2], secret=plain))

    with pytest.raises(CorruptSource):
        await run_job(video, path, kind, "mp4", **QUICK)

    assert not canary.requests


BARE_HLS = ("-protocol_whitelist", "file,http,tcp", "-allowed_extensions", "ALL", "-f", "hls")


async def test_control_bare_ffmpeg_follows_the_playlist(tmp_path: Path, canary: Canary) -> None:
    """Without the forced demuxer, the protocol whitelist and the sandbox, the playlist is followed."""
    path = tmp_path / "list.mp4"
    path.write_text(HOSTILE["hls"].format(url=canary.url))

    with pytest.raises(Exception, match="exit status"):
        ffmpeg(*BARE_HLS, "-i", path, "-f", "null", "-")

    await until(lambda: bool(canary.requests))


async def test_quicktime_reference_to_another_file_is_not_followed(
    video: Video, run_job: RunJob, plain: Path, tmp_path: Path
) -> None:
    """I13: a `dref` to a file of the host."""
    content = plain.read_bytes()
    place = content.index(b"url \0\0\0\1")
    path = tmp_path / "points.mov"
    target = b"file:///etc/passwd\0"
    entry = struct.pack(">I", 12 + len(target)) + b"url \0\0\0\0" + target
    path.write_bytes(content[: place - 4] + entry + content[place + 8 :])

    with pytest.raises(ConversionError):
        await run_job(video, path, "mov", "mkv", **QUICK)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["dash_http.mp4", "sdp.mp4", "png_named.mp4", "hls_http.m3u8", "bitflips.mp4"])
async def test_hostile_corpus_file_is_refused_or_converted_whole(
    video: Video, run_job: RunJob, corpus: Path, name: str
) -> None:
    """I13."""
    try:
        (product,) = await run_job(video, corpus / "hostile_made" / name, "mp4", "mp4", width=64, **QUICK)
    except ConversionError:
        return
    assert name == "bitflips.mp4"
    assert len(frame_times(product.path)) > 0


async def test_cancelled_conversion_ends_ffmpeg(video: Video, run_job: RunJob, folder: Path) -> None:
    path = folder / "endless.mp4"
    ffmpeg(*lavfi("testsrc2=s=320x240:r=30:d=60"), *FAST, path)
    begun = asyncio.Event()
    before = running()
    report = lambda _, stage: begun.set() if stage == "converting the video" else None  # noqa: E731
    work = asyncio.create_task(run_job(video, path, "mp4", "mp4", preset="veryslow", report=report))
    await asyncio.wait_for(begun.wait(), 30)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    await until(lambda: running() <= before)


def running() -> set[int]:
    """The ids of all processes with our veryslow preset."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"veryslow" in line:
            found.add(int(entry.name))
    return found


async def test_without_programs_nothing_is_offered(
    video: Video, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_more: None)

    assert await Video(sandbox).version() is None
