"""Pictures of models drawn with the real f3d, read back with Pillow (behaviours C6, I13)."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from converto_core.errors import BadOptions, BadSource, CorruptSource
from converto_engines.converter import Limits
from converto_engines.models.cad import Cad
from converto_engines.models.meshes import Meshes
from converto_engines.models.preview import ModelPreview
from converto_engines.runtime.process import Sandbox
from tests.assets.bracket import bracket
from tests.conftest import skip_or_fail
from tests.engines.conftest import RunJob
from tests.engines.models import model_files as models
from tests.engines.models.assemblies import assembly
from tests.engines.models.test_meshes import written


@pytest.fixture(scope="module")
async def preview(sandbox: Sandbox) -> AsyncIterator[ModelPreview]:
    meshes = Meshes(sandbox)
    cad = Cad(sandbox, meshes)
    converter = ModelPreview(sandbox, meshes, cad)
    if await converter.version() is None:
        skip_or_fail("f3d cannot draw on this machine")
    yield converter
    await cad.aclose()


SMALL = {"width": 200, "height": 160}


def drawn(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture.copy()


def box_of(picture: Image.Image, background: tuple[int, ...] = (255, 255, 255)) -> tuple[int, int]:
    """Width and height of the drawn model."""
    from PIL import ImageChops

    plain = Image.new("RGB", picture.size, background)
    found = ImageChops.difference(picture.convert("RGB"), plain).getbbox()
    assert found is not None
    return found[2] - found[0], found[3] - found[1]


@pytest.mark.parametrize("source", ["stl", "obj", "glb", "gltf", "ply", "3mf", "off", "dae", "fbx", "3ds"])
async def test_drawn_model_fills_a_picture_of_the_chosen_size(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, source: str
) -> None:
    (product,) = await run_job(preview, written(tmp_path, source), source, "png", **SMALL)

    picture = drawn(product.path)
    width, height = box_of(picture)
    assert picture.size == (200, 160)
    assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert 60 < width <= 200
    assert 60 < height <= 160


async def test_exact_model_is_drawn_with_z_up(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    """C6: a STEP part is drawn in one step; the bracket measures 60 along x and 30 along z."""
    source = tmp_path / "bracket.step"
    source.write_bytes(bracket())
    (product,) = await run_job(preview, source, "step", "png", direction="front", **SMALL)

    width, height = box_of(drawn(product.path))
    assert width / height == pytest.approx(60 / 30, rel=0.1)
    with pytest.raises(BadOptions, match="z up"):
        await run_job(preview, source, "step", "png", up_axis="y")


SHAPES = [("front", (20, 30)), ("back", (20, 30)), ("left", (40, 30)), ("right", (40, 30)), ("top", (20, 40))]


@pytest.mark.parametrize(("direction", "shape"), [*SHAPES, ("bottom", (20, 40))])
async def test_chosen_direction_shows_that_side(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, direction: str, shape: tuple[int, int]
) -> None:
    """The box is 20 wide, 30 high and 40 deep."""
    (product,) = await run_job(preview, written(tmp_path, "glb"), "glb", "png", direction=direction, **SMALL)

    width, height = box_of(drawn(product.path))
    assert width / height == pytest.approx(shape[0] / shape[1], rel=0.15)


@pytest.mark.parametrize(("axis", "shape"), [("y", (20, 30)), ("z", (20, 40)), (None, (20, 40))])
async def test_chosen_axis_points_up(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, axis: str | None, shape: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"direction": "front", "up_axis": axis, **SMALL}
    (product,) = await run_job(preview, written(tmp_path, "stl"), "stl", "png", **options)

    width, height = box_of(drawn(product.path))
    assert width / height == pytest.approx(shape[0] / shape[1], rel=0.15)


async def test_chosen_background_is_behind_the_model(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    (blue,) = await run_job(preview, written(tmp_path, "stl"), "stl", "png", background="#0000ff", **SMALL)
    (clear,) = await run_job(preview, written(tmp_path, "stl"), "stl", "png", background="transparent", **SMALL)

    assert drawn(blue.path).convert("RGB").getpixel((2, 2)) == (0, 0, 255)
    picture = drawn(clear.path)
    assert picture.mode == "RGBA"
    assert picture.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert picture.getpixel((100, 80))[3] == 255  # type: ignore[index]


async def test_material_is_visible(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(preview, written(tmp_path, "glb"), "glb", "png", **SMALL)

    red, green, blue = drawn(product.path).convert("RGB").getpixel((100, 80))  # type: ignore[misc]
    assert red > 3 * max(green, blue)


async def test_too_large_picture_is_refused(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(BadOptions, match="pixels"):
        await run_job(preview, written(tmp_path, "stl"), "stl", "png", limits=Limits(pixels=1000))


@pytest.mark.parametrize("option", [{"width": 5000}, {"background": "red"}, {"direction": "inside"}])
async def test_option_out_of_range_is_refused(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(BadOptions):
        await run_job(preview, written(tmp_path, "stl"), "stl", "png", **option)


async def test_hostile_gltf_is_refused(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    """I13."""
    path = tmp_path / "foreign.gltf"
    path.write_bytes(models.gltf("file:///etc/passwd"))
    with pytest.raises(BadSource):
        await run_job(preview, path, "gltf", "png", **SMALL)


def brightest_and_darkest(picture: Image.Image) -> tuple[int, int]:
    """Of the drawn model in grey, without the tenth at both ends, which the edges and the background may take."""
    inside = sorted(value for value in picture.convert("L").tobytes() if value < 250)
    return inside[-len(inside) // 10], inside[len(inside) // 10]


@pytest.mark.parametrize("direction", ["isometric", "front", "back", "left", "right", "top", "bottom"])
async def test_every_side_is_lit_from_the_viewer(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, direction: str
) -> None:
    (product,) = await run_job(preview, written(tmp_path, "stl"), "stl", "png", direction=direction, **SMALL)

    bright, dark = brightest_and_darkest(drawn(product.path))
    assert dark > 90
    assert 130 < bright < 245


async def test_exact_part_is_drawn_in_its_colour_with_edges(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path
) -> None:
    source = assembly(tmp_path / "red.step", colour=(1.0, 0.0, 0.0))
    (product,) = await run_job(preview, source, "step", "png", **SMALL)

    colours = drawn(product.path).convert("RGB").getcolors(200 * 160) or []
    red = sum(count for count, (r, g, b) in colours if r > 140 and max(g, b) < r / 2)
    dark = sum(count for count, colour in colours if max(colour) < 110)
    white = sum(count for count, colour in colours if min(colour) == 255)
    assert red > 3000
    assert 100 < dark < 3000
    assert white > 5000


@pytest.mark.parametrize("direction", ["front", "top"])
async def test_thin_sheet_is_seen_even_from_its_edge(
    preview: ModelPreview, run_job: RunJob, tmp_path: Path, direction: str
) -> None:
    path = tmp_path / "sheet.obj"
    path.write_text("v 0 0 0\nv 10 0 0\nv 10 0 10\nv 0 0 10\nf 1 2 3 4\n")
    (product,) = await run_job(preview, path, "obj", "png", direction=direction, **SMALL)

    assert box_of(drawn(product.path))[0] > 60


async def test_stl_without_area_is_the_files_fault(preview: ModelPreview, run_job: RunJob, tmp_path: Path) -> None:
    path = tmp_path / "flat.stl"
    path.write_bytes(b"flat".ljust(80) + struct.pack("<I", 2) + struct.pack("<12fH", *[0.0] * 12, 0) * 2)
    with pytest.raises(CorruptSource):
        await run_job(preview, path, "stl", "png", **SMALL)
