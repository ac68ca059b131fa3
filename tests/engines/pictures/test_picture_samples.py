"""Pictures whose samples are no 8-bit brightness: measurements, heights, 12-bit scans."""

import struct
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image

from converto_core.errors import BadSource
from converto_engines.pictures.pdf_page import PicturePage
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import opened

_SIDE = 64
_UNSIGNED, _SIGNED, _FLOATING = 1, 2, 3  # SampleFormat


def ramp(low: float, high: float, kind: str) -> NDArray[np.generic]:
    """Columns that rise from `low` to `high`."""
    return np.tile(np.linspace(low, high, _SIDE), (_SIDE, 1)).astype(kind)


def tiff_of(path: Path, samples: NDArray[np.generic]) -> Path:
    """Write an uncompressed TIFF by hand, because pillow does not write all of these."""
    height, width, *more = samples.shape
    bands, kind = (more or [1])[0], {"u": _UNSIGNED, "i": _SIGNED, "f": _FLOATING}[samples.dtype.kind]
    tags = {256: width, 257: height, 258: samples.dtype.itemsize * 8, 259: 1, 262: 2 if bands == 3 else 1}
    tags |= {273: 0, 277: bands, 278: height, 279: samples.nbytes, 339: kind}
    start = 8 + 2 + 12 * len(tags) + 4
    per_band = {258: struct.pack("<3H", *[tags[258]] * 3), 339: struct.pack("<3H", *[kind] * 3)} if bands == 3 else {}
    tags[273] = start + 6 * len(per_band)
    entries = b""
    for tag, value in tags.items():
        if tag in per_band:  # three numbers do not fit into an entry, which holds their place instead
            entries += struct.pack("<HHII", tag, 3, 3, start + 6 * list(per_band).index(tag))
        else:
            entries += struct.pack("<HHII", tag, 4 if tag in {256, 257, 273, 278, 279} else 3, 1, value)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4
    path.write_bytes(head + b"".join(per_band.values()) + samples.tobytes())
    return path


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("<i4", 0, 65_535),
        ("<i4", -1000, 8848),
        ("<u4", 0, 4_000_000_000),
        ("<i2", -500, 2000),
        ("<i1", -100, 100),
        ("<f4", 0.25, 0.75),
        ("<f4", -11_000, 8848),
        ("<u2", 0, 4095),
    ],
)
@pytest.mark.parametrize("target", ["png", "jpg"])
async def test_samples_are_scaled_to_their_range_and_told(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, *, kind: str, low: float, high: float, target: str
) -> None:
    notes: list[str] = []
    source = tiff_of(tmp_path / "ramp.tif", ramp(low, high, kind))
    (product,) = await run_job(pictures, source, "tiff", target, note=notes.append)

    row = np.asarray(opened(product.path)).astype(float)[_SIDE // 2]
    row = row / (65_535 if row.max() > 255 else 255)
    assert row == pytest.approx(np.linspace(0, 1, _SIDE), abs=0.03)
    assert notes == [f"Samples from {low:,.6g} to {high:,.6g} were scaled to the range from black to white"]


async def test_scaled_samples_can_be_resized(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    source = tiff_of(tmp_path / "ramp.tif", ramp(-1000, 8848, "<f4"))
    (product,) = await run_job(pictures, source, "tiff", "webp", width=16)

    row = np.asarray(opened(product.path).convert("L")).astype(float)[8] / 255
    assert row == pytest.approx(np.linspace(0.02, 0.98, 16), abs=0.05)


async def test_tiff_keeps_the_samples(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    samples = ramp(-1000, 8848, "<i4")
    (product,) = await run_job(pictures, tiff_of(tmp_path / "a.tif", samples), "tiff", "tiff", note=notes.append)

    assert np.array_equal(np.asarray(Image.open(product.path)), samples)
    assert notes == []


async def test_sixteen_bits_of_a_photo_stay_as_they_are(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    notes: list[str] = []
    samples = ramp(0, 40_000, "<u2")
    (product,) = await run_job(pictures, tiff_of(tmp_path / "a.tif", samples), "tiff", "png", note=notes.append)

    assert np.array_equal(np.asarray(Image.open(product.path)), samples)
    assert notes == []


@pytest.mark.parametrize(("high", "notes"), [(1, 0), (8, 1)])
async def test_light_beyond_white_is_scaled_not_cut(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, high: int, notes: int
) -> None:
    told: list[str] = []
    light = np.stack([ramp(0, high, "<f4"), ramp(0, high / 2, "<f4"), ramp(0, 0, "<f4")], axis=-1)
    (product,) = await run_job(pictures, tiff_of(tmp_path / "a.tif", light), "tiff", "jpg", note=told.append)

    red, green, blue = np.asarray(opened(product.path).convert("RGB")).astype(float)[_SIDE // 2, -1]
    assert (red, green, blue) == pytest.approx((255, 188, 0), abs=12)  # half the light is 188 in sRGB
    assert len(told) == notes


async def test_scaled_samples_are_shown_on_a_page(
    pictures: Pictures, sandbox: Sandbox, run_job: RunJob, tmp_path: Path
) -> None:
    notes: list[str] = []
    source = tiff_of(tmp_path / "ramp.tif", ramp(0, 65_535, "<i4"))
    (product,) = await run_job(PicturePage(sandbox, pictures), source, "tiff", "pdf", note=notes.append)

    drawn = pypdfium2.PdfDocument(product.path)[0].render(scale=96 / 72).to_pil().convert("L")
    row = np.asarray(drawn).astype(float)[_SIDE // 2] / 255
    assert row == pytest.approx(np.linspace(0, 1, _SIDE), abs=0.05)
    assert notes == ["Samples from 0 to 65,535 were scaled to the range from black to white"]


async def test_infinite_samples_are_not_supported(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    samples = ramp(0, 1, "<f4")
    samples[0, 0] = np.inf

    with pytest.raises(BadSource, match="infinite numbers are not supported") as caught:
        await run_job(pictures, tiff_of(tmp_path / "a.tif", samples), "tiff", "png")
    assert caught.value.stable_code == "source_unsupported"


async def test_sixty_four_bits_are_not_supported(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="This kind of TIFF picture is not supported") as caught:
        await run_job(pictures, tiff_of(tmp_path / "a.tif", ramp(0, 300, "<f8")), "tiff", "png")
    assert caught.value.stable_code == "source_unsupported"
