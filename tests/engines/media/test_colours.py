"""A high dynamic range and transparency, which targets keep, or lose in a way that looks right and is told (M10)."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageSequence

from converto_engines.media.video import Video
from converto_engines.media.video_pictures import VideoFrame, VideoGif
from tests.engines.conftest import RunJob
from tests.engines.media.media_files import FAST, QUICK, ffmpeg, first_frame, lavfi, probed, streams

BARE_CHAIN = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)
WHITE = "0x949494"  # as PQ 58 % of its scale, the white of a common screen
SCREEN = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
BT709 = ("bt709", "bt709", "bt709")


def hdr(path: Path, transfer: str = "smpte2084", *, size: str = "96x64", is_tagged: bool = True) -> Path:
    """One second of white on black in 10 bits, with data about the screen that it was mastered on."""
    named = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc" if is_tagged else f"transfer={transfer}"
    params = f"log-level=error:{named}:master-display={SCREEN}:max-cll=1000,400"
    colours = ["-color_primaries", "bt2020", "-colorspace", "bt2020nc"] if is_tagged else []
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params, *colours]
    picture = f"color=black:s={size}:r=10:d=1,drawbox=24:8:48:48:{WHITE}:fill"
    ffmpeg(*lavfi(picture), *encode, "-color_trc", transfer, path)
    return path


def level(path: Path, *filters: str) -> int:
    """The brightness of the middle of the first frame, as it is stored."""
    chain = ",".join([*filters, "crop=8:8"])
    output = ffmpeg("-i", path, "-vf", chain, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    return sum(output[:64]) // 64


def colours(stream: dict[str, Any]) -> tuple[str, ...]:
    return tuple(stream.get(name, "") for name in ("color_transfer", "color_primaries", "color_space"))


@pytest.mark.parametrize("target", ["mp4", "mov"])
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
async def test_high_dynamic_range_is_mapped_for_h264_with_a_note(
    video: Video, run_job: RunJob, folder: Path, transfer: str, target: str
) -> None:
    path, notes = hdr(folder / f"{transfer}.mp4", transfer), []

    (product,) = await run_job(video, path, "mp4", target, note=notes.append, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert (stream["codec_name"], stream["pix_fmt"], colours(stream)) == ("h264", "yuv420p", BT709)
    assert level(product.path) == pytest.approx(level(path, BARE_CHAIN), abs=3)
    assert level(product.path) > 120
    assert not any("max_luminance" in word or "max_content" in word for word in first_frame(product.path))
    assert not any("luminance" in name for entry in stream.get("side_data_list", ()) for name in entry)
    others = {"mp4": "h265 or av1 or vp9", "mov": "h265"}[target]
    assert notes == [f"Left out: the high dynamic range (HDR), mapped to common screens; video_codec {others} keeps it"]


@pytest.mark.parametrize("size", ["96x64", "97x65"])
async def test_untold_primaries_are_taken_as_bt2020(video: Video, run_job: RunJob, folder: Path, size: str) -> None:
    path = hdr(folder / f"untold-{size}.mkv", is_tagged=False, size="96x64")
    if size != "96x64":
        odd = f"pad={size.replace('x', ':')},format=yuv444p10le"
        ffmpeg("-i", path, "-vf", odd, "-c:v", "ffv1", folder / f"untold-{size}-odd.mkv")
        path = folder / f"untold-{size}-odd.mkv"

    (product,) = await run_job(video, path, "mkv", "mp4", **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert colours(stream) == BT709
    assert level(product.path) == pytest.approx(level(hdr(folder / "told.mkv"), BARE_CHAIN), abs=4)


KEPT = [
    ("h265", "mp4"),
    ("h265", "mov"),
    ("h265", "mkv"),
    ("av1", "mp4"),
    ("av1", "webm"),
    ("vp9", "mp4"),
    (None, "webm"),
]


@pytest.mark.parametrize(("codec", "target"), KEPT)
async def test_high_dynamic_range_stays_in_a_codec_of_ten_bits(
    video: Video, run_job: RunJob, folder: Path, codec: str | None, target: str
) -> None:
    path, notes = hdr(folder / "kept.mp4"), []

    (product,) = await run_job(video, path, "mp4", target, video_codec=codec, note=notes.append, **QUICK)

    (stream,) = streams(await probed(product.path), "video")
    assert stream["pix_fmt"] == "yuv420p10le"
    assert colours(stream) == ("smpte2084", "bt2020", "bt2020nc")
    assert level(product.path) == pytest.approx(level(path), abs=3)
    is_vp9 = codec in {"vp9", None}
    assert notes == (["Left out: what the file says about the screen it was mastered on"] if is_vp9 else [])
    assert is_vp9 or {"max_content=1000", "max_average=400"} <= first_frame(product.path)


@pytest.mark.parametrize("target", ["png", "jpg", "webp"])
async def test_frame_of_hdr_film_is_mapped_with_a_note(
    frame: VideoFrame, run_job: RunJob, folder: Path, target: str
) -> None:
    path, notes = hdr(folder / "shown.mp4"), []

    (product,) = await run_job(frame, path, "mp4", target, note=notes.append)

    grey = (level(path, BARE_CHAIN) - 16) * 255 / 219
    assert rgba(product.path, 48, 32)[:3] == pytest.approx((grey,) * 3, abs=6)
    assert notes == ["Left out: the high dynamic range (HDR), mapped to common screens"]


@pytest.mark.parametrize("target", ["png", "jpg", "webp"])
async def test_frame_has_the_colours_of_a_large_film(
    frame: VideoFrame, run_job: RunJob, folder: Path, target: str
) -> None:
    """Films of this size store colours by another matrix than JPEG and WebP."""
    path = folder / "large.mp4"
    matrix = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    ffmpeg(*lavfi("color=0x20c040:s=1280x720:r=5:d=0.4"), "-vf", matrix, *FAST, *tags, path)

    (product,) = await run_job(frame, path, "mp4", target)

    assert rgba(product.path, 640, 360)[:3] == pytest.approx((0x20, 0xC0, 0x40), abs=5)


def rgba(path: Path, x: int, y: int) -> Any:
    with Image.open(path) as picture:
        return picture.convert("RGBA").getpixel((x, y))


MOVING = (
    "color=black@0.0:s=96x64:r=10:d=1,format=rgba[ground];color=red:s=24x24:r=10:d=1,format=rgba[box];"
    "[ground][box]overlay=x=8+t*50:y=20:format=rgb,format=yuva420p"
)


def transparent(folder: Path, codec: str = "libvpx-vp9") -> Path:
    """A red box that moves to the right over nothing, below it black that is not to be seen."""
    path = folder / f"clear-{codec}.webm"
    ffmpeg("-filter_complex", MOVING, "-c:v", codec, "-auto-alt-ref", 0, "-b:v", "1M", path)
    return path


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
@pytest.mark.parametrize("target", ["png", "webp"])
async def test_frame_keeps_transparency(
    frame: VideoFrame, run_job: RunJob, folder: Path, codec: str, target: str
) -> None:
    notes: list[str] = []

    (product,) = await run_job(frame, transparent(folder, codec), "webm", target, at_s=0.0, note=notes.append)

    assert rgba(product.path, 90, 5)[3] == 0
    assert rgba(product.path, 20, 32) == pytest.approx((254, 0, 0, 255), abs=20)
    assert notes == []


async def test_frame_without_transparency_is_white_with_a_note(
    frame: VideoFrame, run_job: RunJob, folder: Path
) -> None:
    notes: list[str] = []

    (product,) = await run_job(frame, transparent(folder), "webm", "jpg", at_s=0.0, note=notes.append)

    assert rgba(product.path, 90, 5)[:3] == pytest.approx((255, 255, 255), abs=3)
    assert rgba(product.path, 20, 32)[:3] == pytest.approx((254, 0, 0), abs=20)
    assert notes == ["Left out: transparency: the background is white"]


async def test_gif_keeps_transparency_without_a_trail(gif: VideoGif, run_job: RunJob, folder: Path) -> None:
    (product,) = await run_job(gif, transparent(folder), "webm", "gif")

    with Image.open(product.path) as picture:
        frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(picture)]
    assert len(frames) == 10
    clear = [frame.getchannel("A").histogram()[0] for frame in frames]
    assert clear == pytest.approx([96 * 64 - 24 * 24] * 10, abs=60)


@pytest.mark.parametrize(
    ("target", "options"), [("webm", QUICK), ("mkv", {"video_codec": "vp9", **QUICK}), ("mkv", {})]
)
@pytest.mark.parametrize("metadata", ["keep", "strip"])
async def test_matroska_keeps_the_transparency_of_webm(
    video: Video, run_job: RunJob, folder: Path, target: str, options: dict[str, Any], metadata: str
) -> None:
    (product,) = await run_job(video, transparent(folder), "webm", target, metadata=metadata, **options)

    (stream,) = streams(await probed(product.path), "video")
    assert {name.lower(): value for name, value in stream["tags"].items()}["alpha_mode"] == "1"
    seen = ffmpeg("-c:v", "libvpx-vp9", "-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    assert (seen[3], seen[(32 * 96 + 20) * 4 + 3]) == pytest.approx((0, 255), abs=2)


@pytest.mark.parametrize(("target", "codec"), [("mp4", None), ("mp4", "vp9"), ("mkv", "h264"), ("webm", "av1")])
async def test_film_without_transparency_is_white_with_a_note(
    video: Video, run_job: RunJob, folder: Path, target: str, codec: str | None
) -> None:
    notes: list[str] = []

    (product,) = await run_job(
        video, transparent(folder), "webm", target, video_codec=codec, note=notes.append, **QUICK
    )

    seen = ffmpeg("-i", product.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert tuple(seen[:3]) == pytest.approx((255, 255, 255), abs=4)
    assert tuple(seen[(32 * 96 + 20) * 3 :][:3]) == pytest.approx((254, 0, 0), abs=25)
    (stream,) = streams(await probed(product.path), "video")
    assert "alpha_mode" not in {name.lower() for name in stream.get("tags", {})}
    assert notes == ["Left out: transparency: the background is white"]
