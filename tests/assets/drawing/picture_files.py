"""Writes canvases as PNG, GIF, TIFF and JPEG with zlib only, so that samples need no picture library.

The same canvas always gives the same bytes.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence

from tests.assets.drawing.canvas import Canvas, Colour

_PNG_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_JPEG_QUALITY_STEP = 1.6  # growth of the quantisation with frequency; larger is smaller and coarser


def png(canvas: Canvas) -> bytes:
    """A PNG; a row equal to the one above it takes almost no space."""
    header = struct.pack(">IIBBBBB", canvas.width, canvas.height, 8, _PNG_COLOUR_TYPES[canvas.channels], 0, 0, 0)
    above = bytes(canvas.width * canvas.channels)
    filtered = bytearray()
    for row in canvas.rows:
        filtered += b"\x02" + bytes(len(row)) if row == above else b"\x00" + row
        above = bytes(row)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(filtered), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, body) for name, body in chunks)


def tiff(pages: Sequence[Canvas], dots_per_inch: int) -> bytes:
    """A little-endian TIFF of grey pages, deflated in one strip per page."""
    written = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for number, page in enumerate(pages, 1):
        written += _tiff_page(page, offset=len(written), dots_per_inch=dots_per_inch, is_last=number == len(pages))
    return bytes(written)


def gif(frames: Sequence[Sequence[bytes]], palette: Sequence[Colour], delay_cs: int) -> bytes:
    """An endless animation of at most 16 colours; a frame is rows of palette numbers, the delay is in 1/100 s."""
    width, height = len(frames[0][0]), len(frames[0])
    colours = b"".join(bytes(colour) for colour in palette).ljust(16 * 3, b"\0")
    header = b"GIF89a" + struct.pack("<HHBBB", width, height, 0b1_011_0_011, 0, 0) + colours
    repeat = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    shown = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 0b000_001_0_0, delay_cs, 0, 0)
    placed = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0)
    bodies = (shown + placed + b"\x04" + _blocks(_lzw(b"".join(frame), bits=4)) + b"\0" for frame in frames)
    return header + repeat + b"".join(bodies) + b"\x3b"


def jpeg(canvas: Canvas) -> bytes:
    """A baseline JPEG without chroma subsampling; width and height must be multiples of 8."""
    step = [[2 + _JPEG_QUALITY_STEP * (u + v) for u in range(8)] for v in range(8)]
    table = bytes(round(step[v][u]) for v, u in _ZIGZAG)
    size = struct.pack(">BHHB", 8, canvas.height, canvas.width, 3)
    segments = (
        (0xE0, b"JFIF\0\x01\x02\x01" + struct.pack(">HHBB", 96, 96, 0, 0)),
        (0xDB, b"\0" + table),
        (0xC0, size + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))),
        (0xC4, b"\0" + bytes((0, 0, 0, len(_DC_CODES), *[0] * 12)) + bytes(_DC_CODES)),
        (0xC4, b"\x10" + bytes((0, 0, 0, 0, 0, 0, 0, len(_AC_CODES), *[0] * 8)) + bytes(_AC_CODES)),
        (0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
    )
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + _jpeg_scan(canvas, table) + b"\xff\xd9"


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _tiff_page(page: Canvas, *, offset: int, dots_per_inch: int, is_last: bool) -> bytes:
    strip = zlib.compress(page.pixels(), 9)
    strip += b"\0" * (len(strip) % 2)
    short, long, rational = 3, 4, 5
    count = 11
    strip_at = offset + 2 + 12 * count + 4
    resolution_at = strip_at + len(strip)
    entries = (
        (256, long, page.width), (257, long, page.height), (258, short, 8),
        (259, short, 8), (262, short, 1), (273, long, strip_at),
        (277, short, 1), (278, long, page.height), (279, long, len(strip)),
        (282, rational, resolution_at), (283, rational, resolution_at),
    )  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, number) for tag, kind, number in entries)
    following = 0 if is_last else resolution_at + 8
    return (
        struct.pack("<H", count)
        + directory
        + struct.pack("<I", following)
        + strip
        + struct.pack("<II", dots_per_inch, 1)
    )


def _blocks(body: bytes) -> bytes:
    pieces = (body[start : start + 255] for start in range(0, len(body), 255))
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def _lzw(pixels: bytes, bits: int) -> bytes:
    """GIF's variable-width LZW: codes grow from bits + 1 to 12, then the table is reset."""
    clear, buffer, filled = 1 << bits, 0, 0
    written = bytearray()
    for code, width in _lzw_codes(pixels, clear):
        buffer |= code << filled
        filled += width
        while filled >= 8:
            written.append(buffer & 255)
            buffer >>= 8
            filled -= 8
    return bytes(written) + bytes((buffer,))


def _lzw_codes(pixels: bytes, clear: int) -> Iterator[tuple[int, int]]:
    start = {bytes((value,)): value for value in range(clear)}
    table, following, width = dict(start), clear + 2, clear.bit_length()
    yield clear, width
    seen = b""
    for pixel in pixels:
        longer = seen + bytes((pixel,))
        if longer in table:
            seen = longer
            continue
        yield table[seen], width
        table[longer] = following
        following += 1
        width += following > (1 << width)
        if following == 4095:
            yield clear, width
            table, following, width = dict(start), clear + 2, clear.bit_length()
        seen = longer[-1:]
    yield table[seen], width
    yield clear + 1, width


_ZIGZAG = sorted(
    ((v, u) for v in range(8) for u in range(8)),
    key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]),
)
# One length for all codes of a table: a third larger than the usual tables, and nothing to look up.
_DC_CODES = tuple(range(12))
_AC_CODES = (0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11)))
_AC_NUMBER = {symbol: number for number, symbol in enumerate(_AC_CODES)}
_COSINES = [
    [math.cos((2 * x + 1) * u * math.pi / 16) * (math.sqrt(0.125) if u == 0 else 0.5) for x in range(8)]
    for u in range(8)
]


def _jpeg_scan(canvas: Canvas, table: bytes) -> bytes:
    planes = _ycc_planes(canvas)
    known: dict[bytes, list[int]] = {}
    before = [0, 0, 0]
    bits: list[str] = []
    for top in range(0, canvas.height, 8):
        for left in range(0, canvas.width, 8):
            for number, plane in enumerate(planes):
                block = b"".join(row[left : left + 8] for row in plane[top : top + 8])
                if block not in known:
                    known[block] = _quantised(block, table)
                levels = known[block]
                bits.extend(_coded(levels, levels[0] - before[number]))
                before[number] = levels[0]
    return _packed("".join(bits))


def _ycc_planes(canvas: Canvas) -> tuple[list[bytes], list[bytes], list[bytes]]:
    known: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    planes: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    for row in canvas.rows:
        samples = []
        for colour in zip(row[::3], row[1::3], row[2::3], strict=True):
            if colour not in known:
                known[colour] = _ycc(*colour)
            samples.append(known[colour])
        for plane, values in zip(planes, zip(*samples, strict=True), strict=True):
            plane.append(bytes(values))
    return planes


def _ycc(red: int, green: int, blue: int) -> tuple[int, int, int]:
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402
    return round(luma), *(min(max(round(value), 0), 255) for value in chroma)  # type: ignore[return-value]


def _quantised(block: bytes, table: bytes) -> list[int]:
    if block.count(block[0]) == 64:  # a flat area: only the mean remains
        return [round(8 * (block[0] - 128) / table[0]), *[0] * 63]
    rows = [[sample - 128 for sample in block[start : start + 8]] for start in range(0, 64, 8)]
    across = [[_dot(row, wave) for wave in _COSINES] for row in rows]
    columns = list(zip(*across, strict=True))
    waves = [[_dot(column, wave) for wave in _COSINES] for column in columns]
    return [round(waves[u][v] / divisor) for (v, u), divisor in zip(_ZIGZAG, table, strict=True)]


def _dot(first: Iterable[float], second: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def _coded(levels: list[int], difference: int) -> Iterator[str]:
    yield _jpeg_number(abs(difference).bit_length(), 4) + _magnitude(difference)
    zeros = 0
    last = max((place for place, level in enumerate(levels) if level), default=0)
    for level in levels[1 : last + 1]:
        if level == 0:
            zeros += 1
            continue
        while zeros > 15:
            yield _jpeg_number(_AC_NUMBER[0xF0], 8)
            zeros -= 16
        yield _jpeg_number(_AC_NUMBER[zeros << 4 | abs(level).bit_length()], 8) + _magnitude(level)
        zeros = 0
    if last < 63:
        yield _jpeg_number(_AC_NUMBER[0x00], 8)


def _jpeg_number(number: int, width: int) -> str:
    return f"{number:0{width}b}"


def _magnitude(level: int) -> str:
    size = abs(level).bit_length()
    return f"{level if level > 0 else level + (1 << size) - 1:0{size}b}" if size else ""


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8)
    return body.replace(b"\xff", b"\xff\x00")
