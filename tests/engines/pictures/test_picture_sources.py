"""Pictures that are too large, truncated or hostile (behaviour I13)."""

import asyncio
import contextlib
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from converto_core.errors import CorruptSource, EngineTimeout, LimitExceeded, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.pictures.pictures import Pictures
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import (
    BLUE,
    GREEN,
    PILLOW_SOURCES,
    RED,
    SVG,
    WHITE,
    animation,
    colour_at,
    is_near,
    opened,
)


def lying_png(path: Path, width: int, height: int) -> Path:
    """A PNG that declares a huge size and holds almost no data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return path


async def test_too_many_claimed_pixels_are_refused_unread(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    source = lying_png(tmp_path / "lie.png", 65_000, 65_000)

    with pytest.raises(SourceTooLarge, match="65000 × 65000 pixels; at most 100 million"):
        await run_job(pictures, source, "png", "webp", limits=Limits(wall_s=10, cpu_s=2))


async def test_avif_beyond_the_decoder_is_too_large(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    """The decoder refuses pictures of more than 16,384 pixels per side, whatever our own limit."""
    Image.new("RGB", (64, 64), RED).save(tmp_path / "a.avif")
    small, large = struct.pack(">4xII", 64, 64), struct.pack(">4xII", 17_000, 17_000)
    content = (tmp_path / "a.avif").read_bytes().replace(b"ispe" + small, b"ispe" + large)
    (tmp_path / "a.avif").write_bytes(content)

    with pytest.raises(SourceTooLarge, match="17000 × 17000 pixels; at most 100 million"):
        await run_job(pictures, tmp_path / "a.avif", "avif", "png")


@pytest.mark.parametrize("target", ["webp", "gif"])
@pytest.mark.parametrize("kind", ["avif", "png"])
async def test_animation_keeps_frames_and_times(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, kind: str, target: str
) -> None:
    notes: list[str] = []
    source = animation(tmp_path / f"a.{kind}")
    (moving,) = await run_job(pictures, source, kind, target)
    (still,) = await run_job(pictures, source, kind, "jpg", page=3, note=notes.append)

    with Image.open(moving.path) as result:
        assert getattr(result, "n_frames", 1) == 3
        for frame, colour, duration_ms in zip(range(3), (RED, GREEN, BLUE), (100, 200, 300), strict=True):
            result.seek(frame)
            result.load()
            assert is_near(colour_at(result, 0.5, 0.5), colour, 16)
            assert result.info["duration"] == duration_ms
    assert is_near(colour_at(opened(still.path), 0.5, 0.5), BLUE, 16)
    assert notes == ["Only frame 3 of 3 was converted; the option page selects another"]


async def test_substitute_picture_of_animated_png_is_left_out(
    pictures: Pictures, run_job: RunJob, tmp_path: Path
) -> None:
    first, *others = (Image.new("RGBA", (40, 30), colour) for colour in (RED, GREEN, (*BLUE, 0)))
    first.save(tmp_path / "a.png", save_all=True, append_images=others, duration=[100, 200], default_image=True)

    (moving,) = await run_job(pictures, tmp_path / "a.png", "png", "webp", quality=100)

    with Image.open(moving.path) as result:
        frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(result)]
    assert [frame.getchannel("A").getextrema() for frame in frames] == [(255, 255), (0, 0)]
    assert is_near(colour_at(frames[0], 0.5, 0.5), GREEN, 16)


async def test_huge_svg_is_refused_undrawn(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "huge.svg"
    path.write_text(SVG.replace('width="120" height="80"', 'width="90000" height="90000"', 1))

    with pytest.raises(SourceTooLarge):
        await run_job(pictures, path, "svg", "png", limits=Limits(wall_s=10, cpu_s=2))


async def test_too_many_frames_are_refused(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="3 frames; at most 2 are allowed"):
        await run_job(pictures, animation(tmp_path / "a.gif"), "gif", "webp", limits=Limits(pages=2))


async def test_too_long_webp_advises_to_resize(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    Image.new("RGB", (17_000, 10), RED).save(tmp_path / "long.png")

    with pytest.raises(SourceTooLarge, match="webp allows at most 16383 pixels per side"):
        await run_job(pictures, tmp_path / "long.png", "png", "webp")
    assert opened((await run_job(pictures, tmp_path / "long.png", "png", "webp", width=5000))[0].path).width == 5000


@pytest.mark.parametrize("source", ["png", "jpg", "webp", "gif", "tiff", "avif", "bmp", "tga", "jp2"])
async def test_truncated_picture_is_corrupt_and_the_next_converts(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, png: Path, source: str
) -> None:
    """I13: a truncated picture fails clearly, and the next file converts."""
    whole = tmp_path / f"whole.{source}"
    Image.merge("RGB", [Image.effect_noise((200, 200), 60) for _ in range(3)]).save(whole, PILLOW_SOURCES[source])
    cut = tmp_path / f"cut.{source}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(CorruptSource):
        await run_job(pictures, cut, source, "png")
    assert await run_job(pictures, png, "png", "webp")


async def test_truncated_tiles_of_jpeg_2000_never_pass(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    """I13: read by several threads, libvips misses one in five of these."""
    for number in range(20):
        whole, cut = tmp_path / f"{number}.jp2", tmp_path / f"cut{number}.jp2"
        noise = Image.merge("RGB", [Image.effect_noise((200, 200), 60) for _ in range(3)])
        noise.save(whole, "JPEG2000", tile_size=(64, 64))
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

        with pytest.raises(CorruptSource):
            await run_job(pictures, cut, "jp2", "png")


@pytest.mark.parametrize("reference", ["file:///etc/hostname", "secret.png"])
async def test_svg_draws_nothing_of_other_files(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, reference: str
) -> None:
    Image.new("RGB", (50, 50), RED).save(tmp_path / "secret.png")
    path = tmp_path / "a.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="50" height="50">'
        f'<image width="50" height="50" xlink:href="{reference}"/></svg>'
    )

    products = await run_job(pictures, path, "svg", "jpg")

    assert is_near(colour_at(opened(products[0].path), 0.5, 0.5), WHITE)


@pytest.mark.parametrize("name", ["href", "css", "import", "entity", "include"])
async def test_svg_makes_no_network_request(pictures: Pictures, run_job: RunJob, tmp_path: Path, name: str) -> None:
    hits: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/a.png"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /control HTTP/1.0\r\n\r\n")
        await reader.read()
        (tmp_path / "a.svg").write_text(REACHING[name].format(url=url))
        with contextlib.suppress(CorruptSource):
            await run_job(pictures, tmp_path / "a.svg", "svg", "png")
    assert hits == ["GET /control HTTP/1.0\r\n"]


_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="50" height="50">'


REACHING = {
    "href": _OPEN + '<image width="50" height="50" xlink:href="{url}"/></svg>',
    "css": _OPEN + '<rect width="50" height="50" style="fill:url({url})"/></svg>',
    "import": _OPEN + '<style>@import "{url}";</style><rect width="9" height="9"/></svg>',
    "entity": '<!DOCTYPE svg [<!ENTITY x SYSTEM "{url}">]>' + _OPEN + "<text>&x;</text></svg>",
    "include": _OPEN + '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{url}" parse="text"/></svg>',
}


async def test_svg_includes_no_other_file(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    text = _OPEN + '<text x="0" y="20" font-size="20">{}</text></svg>'
    (tmp_path / "a.svg").write_text(text.format(include))
    (tmp_path / "b.svg").write_text(text.format(""))

    including = await run_job(pictures, tmp_path / "a.svg", "svg", "png")
    empty = await run_job(pictures, tmp_path / "b.svg", "svg", "png")

    assert opened(including[0].path).tobytes() == opened(empty[0].path).tobytes()


@pytest.mark.parametrize(
    "disguise", ["<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "%!PS-Adobe-3.0"]
)
async def test_content_of_another_format_is_not_opened(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, disguise: str
) -> None:
    """Only the loader of the declared format is enabled; all other unsafe ones are blocked."""
    path = tmp_path / "a"
    path.write_text(disguise)

    with pytest.raises(CorruptSource):
        await run_job(pictures, path, "png", "jpg")
    with pytest.raises(CorruptSource):
        await run_job(pictures, path, "bmp", "jpg")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("hostile_made/bomb_50000x50000.png", SourceTooLarge),
        ("hostile_made/lie_65000x65000.png", SourceTooLarge),
        ("hostile_made/huge_dim.svg", SourceTooLarge),
        ("hostile_made/truncated_half.png", CorruptSource),
        ("hostile_made/xxe.svg", CorruptSource),
        ("hostile_made/zero.png", CorruptSource),
        ("hostile_found/libvips__truncated.jpg", CorruptSource),
        ("hostile_found/libvips__invalid_multiframe.gif", CorruptSource),
    ],
)
async def test_hostile_picture_is_a_clear_error(
    pictures: Pictures, run_job: RunJob, corpus: Path, name: str, error: type[Exception]
) -> None:
    """I13: hostile pictures fail clearly."""
    with pytest.raises(error):
        await run_job(pictures, corpus / name, name.rpartition(".")[2], "webp")


@pytest.mark.corpus
async def test_endless_svg_costs_only_its_limit(pictures: Pictures, run_job: RunJob, corpus: Path) -> None:
    with pytest.raises((LimitExceeded, EngineTimeout)):
        await run_job(
            pictures, corpus / "hostile_made/slow_filter.svg", "svg", "png", limits=Limits(wall_s=10, cpu_s=2)
        )
