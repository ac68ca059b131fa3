"""The content of the sample pictures: a lake at dusk, overlapping discs, an orbit, two scanned pages of music."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.assets.drawing.canvas import Canvas, Colour, mixed

_ORBIT_STEPS = 24
_HUES: Sequence[tuple[int, int, int]] = (
    (228, 87, 86), (244, 162, 70), (246, 212, 96), (106, 178, 120), (74, 158, 190), (92, 112, 196), (160, 98, 178),
)  # fmt: skip
_RIDGES: Sequence[tuple[float, float, float, Colour]] = (
    # height of the foot (share of the horizon), roughness, phase, colour
    (0.52, 0.30, 0.4, (152, 122, 150)),
    (0.66, 0.24, 2.1, (112, 92, 132)),
    (0.80, 0.18, 4.0, (72, 66, 108)),
    (0.93, 0.10, 5.6, (40, 44, 78)),
)
ORBIT_PALETTE: Sequence[Colour] = (
    (16, 24, 48), (30, 42, 78), (60, 78, 126), (250, 204, 84), (255, 236, 170), (92, 176, 222), (236, 240, 248),
)  # fmt: skip


def lake_at_dusk(width: int = 960, height: int = 640) -> Canvas:
    """An opaque landscape with soft colours, like a photo."""
    scene = Canvas(2 * width, 2 * height, (0, 0, 0))
    horizon = round(scene.height * 0.64)
    for row in range(horizon):
        scene.run(row, 0, scene.width, mixed((58, 64, 122), (250, 176, 120), (row / horizon) ** 1.4))
    scene.ellipse((scene.width * 0.42, horizon * 0.30), (scene.width * 0.045,) * 2, (255, 232, 176))
    for foot, roughness, phase, colour in _RIDGES:
        _ridge(scene, horizon, shape=(foot, roughness, phase), colour=colour)
    _reflection(scene, horizon)
    return scene.halved()


def overlapping_discs(width: int = 900, height: int = 600) -> Canvas:
    """Seven translucent discs in a ring on a transparent ground."""
    scene = Canvas(2 * width, 2 * height, (255, 255, 255, 0))
    centre_x, centre_y, ring, radius = width, height, height * 0.42, height * 0.5
    centres = [
        (centre_x + ring * math.sin(2 * math.pi * number / 7), centre_y - ring * math.cos(2 * math.pi * number / 7))
        for number in range(7)
    ]
    for row in range(scene.height):
        _discs_row(scene, row, list(zip(centres, _HUES, strict=True)), radius)
    return scene.halved()


def orbit_frames(width: int = 320, height: int = 200) -> Iterator[list[bytes]]:
    """A planet with its moon going round a sun, 24 frames of palette numbers."""
    for step in range(_ORBIT_STEPS):
        frame = Canvas(width, height, (0,))
        angle = 2 * math.pi * step / _ORBIT_STEPS
        for star in range(40):
            frame.run(star * 7919 % height, at := star * 104729 % width, at + 1 + star % 2, (6 if star % 3 else 2,))
        _ring(frame, (width / 2, height / 2), (width * 0.36, height * 0.34))
        planet = (width / 2 + width * 0.36 * math.cos(angle), height / 2 + height * 0.34 * math.sin(angle))
        moon = (planet[0] + 20 * math.cos(5 * angle), planet[1] + 20 * math.sin(5 * angle))
        sun = ((width / 2, height / 2), (24.0, 24.0), (3,)), ((width / 2, height / 2), (18.0, 18.0), (4,))
        for centre, radii, colour in (*sun, (planet, (11.0, 11.0), (5,)), (moon, (4.0, 4.0), (6,))):
            frame.ellipse(centre, radii, colour)
        yield [bytes(row) for row in frame.rows]


def sheet_of_music(page: int, width: int = 1240, height: int = 1754) -> Canvas:
    """One grey A4 page at 150 dots per inch with eight staves of made-up notes."""
    sheet = Canvas(2 * width, 2 * height, (244,))
    left, right = sheet.width * 0.10, sheet.width * 0.90
    for stave in range(8):
        top = sheet.height * (0.10 + 0.105 * stave)
        for line in range(5):
            sheet.rectangle((left, top + 26 * line, right, top + 26 * line + 4), (70,))
        for bar in range(5):
            x = left + (right - left) * bar / 4
            sheet.rectangle((x - 3, top, x + 3, top + 108), (50,))
        for beat in range(16):
            if beat != 15 or stave % 2 == 0:
                _note(sheet, left + (right - left) * (beat + 0.5) / 16, top, (7 * page + 5 * stave + beat * beat) % 9)
    return sheet.halved()


def _ridge(scene: Canvas, horizon: int, *, shape: tuple[float, float, float], colour: Colour) -> None:
    foot, roughness, phase = shape
    corners: list[tuple[float, float]] = [(0, horizon)]
    for x in range(0, scene.width + 8, 8):
        turn = 2 * math.pi * x / scene.width
        wave = sum(math.sin(turn * 1.7**octave + phase * (octave + 1)) / 1.7**octave for octave in range(1, 8))
        corners.append((x, horizon * (foot - roughness * 0.5 * (0.6 + wave * 0.6))))
    scene.polygon([*corners, (scene.width, horizon)], colour)


def _reflection(scene: Canvas, horizon: int) -> None:
    for row in range(horizon, scene.height):
        depth = row - horizon
        mirrored = scene.rows[max(horizon - 1 - round(depth * 1.15 + 5 * math.sin(depth / 6) * depth / horizon), 0)]
        shift = 3 * round(4 * math.sin(depth / 3.0) * (0.2 + depth / horizon))
        moved = mirrored[shift:] + mirrored[:shift]
        # Every sample at three quarters of its brightness, as reflections in water are darker.
        scene.rows[row] = moved.translate(bytes(value * 3 // 4 for value in range(256)))


def _discs_row(
    scene: Canvas, row: int, discs: Sequence[tuple[tuple[float, float], tuple[int, int, int]]], radius: float
) -> None:
    spans = []
    for (x, y), hue in discs:
        share = 1 - ((row + 0.5 - y) / radius) ** 2
        if share > 0:
            spans.append((round(x - radius * math.sqrt(share)), round(x + radius * math.sqrt(share)), hue))
    edges = sorted({edge for left, right, _ in spans for edge in (left, right)})
    for left, right in pairwise(edges):
        covering = [hue for start, end, hue in spans if start <= left and right <= end]
        if covering:
            scene.run(row, left, right, (*_layered(covering), min(255, 110 + 45 * len(covering))))


def _layered(hues: Sequence[tuple[int, int, int]]) -> Colour:
    colour: Colour = hues[0]
    for hue in hues[1:]:
        colour = mixed(colour, hue, 0.5)
    return colour


def _ring(frame: Canvas, centre: tuple[float, float], radii: tuple[float, float]) -> None:
    for dot in range(120):
        angle = 2 * math.pi * dot / 120
        x, y = round(centre[0] + radii[0] * math.cos(angle)), round(centre[1] + radii[1] * math.sin(angle))
        frame.run(y, x, x + 1, (2,))


def _note(sheet: Canvas, x: float, top: float, step: int) -> None:
    y = top + 13 * step
    sheet.ellipse((x, y), (18, 12), (30,))
    stem_x, reach = (x + 15, -84) if step > 3 else (x - 17, 84)
    sheet.rectangle((stem_x, min(y, y + reach), stem_x + 4, max(y, y + reach)), (30,))
