"""A generated PDF of four A4 pages: body text in two fonts, and a drawing on every page."""

import math
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

_WIDTH, _HEIGHT = 595, 842  # points of 1/72 inch
_TEXT = (
    "A curve is drawn here with straight lines only. Each line starts where the last one turned, and",
    "the eye closes the gaps. Nothing on this page is a picture: every stroke is a path, so it stays",
    "sharp however far one zooms in, and a renderer has to do the work itself.",
    "",
    "The text is set in Helvetica and Times, two of the fourteen fonts that every reader must know,",
    "so no font is embedded. Page images made from this file show whether a renderer picks good",
    "replacements, keeps thin lines visible and fills curved shapes without gaps.",
)


def paper() -> bytes:
    """The paper as a PDF 1.4 of four pages with a valid cross-reference table."""
    drawings: Sequence[tuple[str, Callable[[], list[str]]]] = (
        ("Roses of lines", _rose),
        ("Waves", _waves),
        ("A grid of turned squares", _squares),
        ("Discs in the order of a sunflower", _discs),
    )
    pages = [_page(number, title, draw()) for number, (title, draw) in enumerate(drawings, 1)]
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>",
    ]
    for number, content in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] /Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /Bold 3 0 R /Roman 4 0 R >> >> >>".encode()
        )
        body = zlib.compress(content.encode("latin-1"), 9)
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(body), body))
    objects.append(b"<< /Title (Lines) /Producer (converto) /CreationDate (D:20260115093000Z) >>")
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table_at = len(written)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    written += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, entries)
    written += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (len(objects) + 1, len(objects))
    written += b"startxref\n%d\n%%%%EOF\n" % table_at
    return bytes(written)


def _page(number: int, title: str, drawing: list[str]) -> str:
    lines = [
        f"BT /Bold 26 Tf 0.12 0.16 0.27 rg 60 765 Td ({title}) Tj ET",
        "0.16 0.44 0.56 RG 2 w 60 752 m 535 752 l S",
        "BT /Roman 11.5 Tf 0.1 g 17 TL 60 725 Td",
        *(f"({line}) Tj T*" for line in _TEXT),
        "ET",
        *drawing,
        f"BT /Roman 10 Tf 0.4 g 60 42 Td (Lines, page {number} of 4) Tj ET",
    ]
    return "\n".join(lines)


def _rose() -> list[str]:
    centre_x, centre_y, radius = 297, 340, 210
    lines = ["0.6 w 0.82 0.29 0.36 RG"]
    for step in range(361):
        angle = math.radians(step * 71)
        reach = radius * math.sin(6 * angle)
        order = "l" if step else "m"
        lines.append(f"{centre_x + reach * math.cos(angle):.2f} {centre_y + reach * math.sin(angle):.2f} {order}")
    return [*lines, "S"]


def _waves() -> list[str]:
    lines = []
    for band in range(18):
        share = band / 17
        lines.append(f"{0.16 + 0.6 * share:.3f} {0.62 - 0.2 * share:.3f} {0.56 + 0.1 * share:.3f} RG 1.6 w")
        for step in range(96):
            x = 60 + 475 * step / 95
            y = 130 + 25 * band + 34 * math.sin(step / 9 + band / 3) * math.sin(math.pi * step / 95)
            lines.append(f"{x:.2f} {y:.2f} {'l' if step else 'm'}")
        lines.append("S")
    return lines


def _squares() -> list[str]:
    lines = []
    for row in range(9):
        for column in range(9):
            turn = math.radians(5 * row * column)
            centre_x, centre_y = 85 + 53 * column, 115 + 53 * row
            lines.append(f"{0.2 + 0.08 * row:.2f} {0.45:.2f} {0.75 - 0.06 * column:.2f} rg")
            for corner in range(4):
                angle = turn + math.pi / 4 + corner * math.pi / 2
                x, y = centre_x + 26 * math.cos(angle), centre_y + 26 * math.sin(angle)
                lines.append(f"{x:.2f} {y:.2f} {'l' if corner else 'm'}")
            lines.append("h f")
    return lines


def _discs() -> list[str]:
    # Sunflower order: each disc is rotated by the golden angle from the one before.
    lines = []
    golden = math.pi * (3 - math.sqrt(5))
    for number in range(1, 320):
        reach, angle = 12.2 * math.sqrt(number), number * golden
        x, y = 297 + reach * math.cos(angle), 335 + reach * math.sin(angle)
        lines.append(f"{0.91:.2f} {0.45 + number / 900:.3f} {0.25 + number / 600:.3f} rg")
        lines.extend(_disc(x, y, 3.2 + number / 110))
    return lines


def _disc(x: float, y: float, radius: float) -> list[str]:
    pull = radius * 0.5523  # length of the Bezier handles that approximate a quarter circle
    corners = ((radius, 0), (0, radius), (-radius, 0), (0, -radius), (radius, 0))
    lines = [f"{x + radius:.2f} {y:.2f} m"]
    for (from_x, from_y), (to_x, to_y) in pairwise(corners):
        share = pull / radius
        first = (x + from_x + to_x * share, y + from_y + to_y * share)
        second = (x + to_x + from_x * share, y + to_y + from_y * share)
        lines.append(" ".join(f"{value:.2f}" for value in (*first, *second, x + to_x, y + to_y)) + " c")
    return [*lines, "f"]
