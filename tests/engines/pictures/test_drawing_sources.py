"""SVG drawings without a size, and compressed ones."""

import gzip
from pathlib import Path

import pytest

from converto_core.errors import CorruptSource
from converto_engines.pictures.pictures import Pictures
from tests.engines.conftest import RunJob
from tests.engines.pictures.small_pictures import BLUE, RED, SVG, colour_at, is_near, opened

_OPEN = '<svg xmlns="http://www.w3.org/2000/svg"{}>'
_SHAPES = '<rect x="-30" y="50" width="60" height="20" fill="red"/><circle cx="150" cy="100" r="80" fill="blue"/></svg>'


@pytest.mark.parametrize("sides", ["", ' width="100%" height="100%"', ' width="100%"'])
async def test_drawing_without_a_size_is_shown_whole(
    pictures: Pictures, run_job: RunJob, tmp_path: Path, sides: str
) -> None:
    (tmp_path / "a.svg").write_text(f"<?xml version='1.0'?><!-- <svg> -->{_OPEN.format(sides)}{_SHAPES}")
    (product,) = await run_job(pictures, tmp_path / "a.svg", "svg", "png", background="#ffffff")

    drawn = opened(product.path)
    assert drawn.size == (260, 160)
    assert is_near(colour_at(drawn, 10 / 260, 40 / 160), RED)
    assert is_near(colour_at(drawn, 180 / 260, 2 / 160), BLUE)
    assert is_near(colour_at(drawn, 180 / 260, 157 / 160), BLUE)
    assert is_near(colour_at(drawn, 257 / 260, 80 / 160), BLUE)


async def test_drawing_with_a_size_is_cut_to_it(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(_OPEN.format(' width="100" height="90"') + _SHAPES)
    (product,) = await run_job(pictures, tmp_path / "a.svg", "svg", "png")

    assert opened(product.path).size == (100, 90)


async def test_compressed_drawing_is_drawn(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "a.svgz").write_bytes(gzip.compress(SVG.encode()))
    (product,) = await run_job(pictures, tmp_path / "a.svgz", "svg", "png")

    assert opened(product.path).size == (120, 80)
    assert is_near(colour_at(opened(product.path), 0.2, 0.2), RED)


async def test_half_a_compressed_drawing_is_incomplete(pictures: Pictures, run_job: RunJob, tmp_path: Path) -> None:
    packed = gzip.compress(SVG.encode())
    (tmp_path / "a.svgz").write_bytes(packed[: len(packed) // 2])

    with pytest.raises(CorruptSource, match="its end is missing"):
        await run_job(pictures, tmp_path / "a.svgz", "svg", "png")
