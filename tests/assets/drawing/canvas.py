"""A picture in memory, drawn in runs of equal pixels and then halved for smooth edges."""

import math
from collections.abc import Sequence

Colour = tuple[int, ...]


class Canvas:
    """Rows of 8-bit pixels; `channels` is 1 (grey), 3 (RGB) or 4 (RGBA). Drawing is clipped to the picture."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        self.width, self.height, self.channels = width, height, len(background)
        self.rows = [bytearray(bytes(background) * width) for _ in range(height)]

    def run(self, row: int, left: int, right: int, colour: Colour) -> None:
        """Fill the pixels from `left` up to, not including, `right` in one row."""
        left, right = max(left, 0), min(right, self.width)
        if 0 <= row < self.height and left < right:
            self.rows[row][left * self.channels : right * self.channels] = bytes(colour) * (right - left)

    def rectangle(self, box: tuple[float, float, float, float], colour: Colour) -> None:
        """Fill left, top, right, bottom."""
        left, top, right, bottom = (round(edge) for edge in box)
        for row in range(top, bottom):
            self.run(row, left, right, colour)

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        """Fill an upright ellipse."""
        (x, y), (radius_x, radius_y) = centre, radii
        for row in range(math.floor(y - radius_y), math.ceil(y + radius_y) + 1):
            share = 1 - ((row + 0.5 - y) / radius_y) ** 2
            if share > 0:
                reach = radius_x * math.sqrt(share)
                self.run(row, round(x - reach), round(x + reach), colour)

    def polygon(self, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Fill a closed polygon by the even-odd rule."""
        top, bottom = min(y for _, y in corners), max(y for _, y in corners)
        for row in range(math.floor(top), math.ceil(bottom)):
            crossings = sorted(_crossings(corners, row + 0.5))
            for left, right in zip(crossings[::2], crossings[1::2], strict=False):
                self.run(row, round(left), round(right), colour)

    def halved(self) -> "Canvas":
        """The picture at half its size, each pixel the mean of four, which smooths the edges."""
        smaller = Canvas(self.width // 2, self.height // 2, (0,) * self.channels)
        for number in range(smaller.height):
            tall = _mean(self.rows[2 * number], self.rows[2 * number + 1])
            smaller.rows[number] = _mean(*self._columns(tall, smaller.width))
        return smaller

    def pixels(self) -> bytes:
        """All samples, row by row."""
        return b"".join(self.rows)

    def _columns(self, row: bytearray, width: int) -> tuple[bytearray, bytearray]:
        even, odd = bytearray(width * self.channels), bytearray(width * self.channels)
        for channel in range(self.channels):
            even[channel :: self.channels] = row[channel :: 2 * self.channels][:width]
            odd[channel :: self.channels] = row[channel + self.channels :: 2 * self.channels][:width]
        return even, odd


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that is `share` (0 to 1) of the way from the first to the second."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def _crossings(corners: Sequence[tuple[float, float]], y: float) -> list[float]:
    edges = zip(corners, [*corners[1:], corners[0]], strict=True)
    return [x1 + (y - y1) * (x2 - x1) / (y2 - y1) for (x1, y1), (x2, y2) in edges if (y1 <= y) != (y2 <= y)]


def _mean(first: bytearray, second: bytearray) -> bytearray:
    # One long integer per row: half of each byte, added without carries, is a hundred times faster than a loop.
    length = len(first)
    mask = int.from_bytes(b"\x7f" * length)
    halves = [(int.from_bytes(row) >> 1) & mask for row in (first, second)]
    return bytearray(sum(halves).to_bytes(length))
