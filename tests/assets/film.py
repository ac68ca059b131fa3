"""A short film and a melody, generated as an uncompressed AVI with PCM sound and a WAV."""

import math
import struct

WIDTH, HEIGHT, FRAMES_PER_SECOND, SECONDS = 160, 120, 10, 3
RATE_HZ = 22_050
_NOTES_HZ = (440.0, 550.0, 660.0)
_SKY, _BALL = (0x20, 0x30, 0x60), (0xF0, 0xB0, 0x30)
_RADIUS = 16


def tone() -> bytes:
    """Three notes of a second each, one channel of 16 bits."""
    sound = _sound()
    shape = struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16)
    return _riff(b"WAVE", _chunk(b"fmt ", shape), _chunk(b"data", sound))


def clip() -> bytes:
    """A ball that bounces once a second over a floor, to the same three notes."""
    count = FRAMES_PER_SECOND * SECONDS
    frames = [_frame(number) for number in range(count)]
    sound, per_frame = _sound(), RATE_HZ * 2 // FRAMES_PER_SECOND
    parts, entries, offset = [], [], 4
    for number, frame in enumerate(frames):
        heard = sound[number * per_frame : (number + 1) * per_frame]
        for name, flags, body in ((b"00db", 16, frame), (b"01wb", 16, heard)):
            entries.append(name + struct.pack("<III", flags, offset, len(body)))
            parts.append(_chunk(name, body))
            offset += len(parts[-1])
    movie = _list(b"movi", *parts)
    return _riff(b"AVI ", _headers(count, len(frames[0])), movie, _chunk(b"idx1", b"".join(entries)))


def _headers(count: int, frame_bytes: int) -> bytes:
    file_header = struct.pack(
        "<14I", 1_000_000 // FRAMES_PER_SECOND, 0, 0, 0x10, count, 0, 2, frame_bytes, WIDTH, HEIGHT, 0, 0, 0, 0
    )
    picture = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 24, 0, frame_bytes, 0, 0, 0, 0)
    sound = struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16)
    video_header = _stream_header(b"vids", b"DIB ", (1, FRAMES_PER_SECOND), count, 0)
    sound_header = _stream_header(b"auds", b"\0\0\0\0", (2, RATE_HZ * 2), RATE_HZ * SECONDS, 2)
    streams = [
        _list(b"strl", _chunk(b"strh", video_header), _chunk(b"strf", picture)),
        _list(b"strl", _chunk(b"strh", sound_header), _chunk(b"strf", sound)),
    ]
    return _list(b"hdrl", _chunk(b"avih", file_header), *streams)


def _stream_header(
    kind: bytes, handler: bytes, scale_and_rate: tuple[int, int], length: int, sample_bytes: int
) -> bytes:
    numbers = struct.pack("<IHHIIIIIIiI4h", 0, 0, 0, 0, *scale_and_rate, 0, length, 0, -1, sample_bytes, 0, 0, 0, 0)
    return kind + handler + numbers


def _sound() -> bytes:
    samples = []
    for note in _NOTES_HZ:
        for place in range(RATE_HZ):
            swell = min(place, RATE_HZ - place, 2000) / 2000  # no click between two notes
            samples.append(round(12_000 * swell * math.sin(2 * math.pi * note * place / RATE_HZ)))
    return struct.pack(f"<{len(samples)}h", *samples)


def _frame(number: int) -> bytes:
    """Rows from the bottom up in BGR order, as in bitmaps."""
    moment = number / FRAMES_PER_SECOND
    centre_x = _RADIUS + (WIDTH - 2 * _RADIUS) * moment / SECONDS
    centre_y = _RADIUS + (HEIGHT - 2 * _RADIUS) * abs(math.sin(math.pi * moment))
    sky, ball = bytes(reversed(_SKY)), bytes(reversed(_BALL))
    rows = []
    for row in range(HEIGHT):
        reach = math.sqrt(max(_RADIUS**2 - (row - centre_y) ** 2, 0))
        first, last = round(centre_x - reach), round(centre_x + reach)
        rows.append(sky * first + ball * (last - first) + sky * (WIDTH - last))
    return b"".join(rows)


def _riff(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"RIFF", kind + b"".join(chunks))


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
