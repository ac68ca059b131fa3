"""Looks at models with trimesh, at exact ones with the CAD kernel."""

from collections.abc import Iterator

import numpy
import trimesh

from tests.engines.models.model_files import SIZE, VOLUME
from tests.engines.models.test_cad import loaded, meshed
from tests.engines.pairs.pair import Result, apart, unlike
from tests.engines.pairs.sources.models import Box

_TRIANGLES = 12
_TOLERANCE = 1e-3
_RED = (255, 0, 0)


def mesh(result: Result) -> Iterator[str]:
    """The box: its triangles, sides, volume and, where the format has colours, its colour."""
    box: Box = result.pair.sample.facts
    target = result.pair.target
    yield from _box(loaded(result.path), box.scale * (box.in_glb if target == "glb" else 1.0))
    if box.is_red and target in ("glb", "ply", "obj"):
        yield from unlike("colour", _colour(result), _RED)


def exact(result: Result) -> Iterator[str]:
    """The box as an exact model."""
    yield from _box(meshed(result.path), 1.0)


def _box(found: trimesh.Trimesh, scale: float) -> Iterator[str]:
    yield from unlike("triangles", len(found.faces), _TRIANGLES)
    for side, right in zip(sorted(found.extents), sorted(SIZE), strict=True):
        yield from apart("side", side, right * scale, right * scale * _TOLERANCE)
    yield from apart("volume", float(found.volume), VOLUME * scale**3, VOLUME * scale**3 * _TOLERANCE)


def _colour(result: Result) -> tuple[int, ...]:
    """The mean colour of the corners, of 255."""
    with result.path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=result.path.suffix[1:], process=False)
    (part,) = scene.geometry.values()
    corners = numpy.asarray(
        part.visual.to_color().vertex_colors if hasattr(part.visual, "to_color") else part.visual.vertex_colors
    )
    return tuple(round(value) for value in corners.reshape(-1, 4)[:, :3].mean(axis=0))
