"""Minimal generated PDFs: pages of one colour each, with an optional line of text."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RED = (255, 0, 0)


class Page(NamedTuple):
    """A page in points, its upper left quarter in one colour."""

    width: int = 216
    height: int = 144
    colour: tuple[int, int, int] = RED
    rotate: int = 0
    text: str = ""


def make_pdf(path: Path, pages: Sequence[Page]) -> Path:
    """Write a minimal PDF."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(pages)))
    font = 3 + 2 * len(pages)
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    for index, page in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page.width} {page.height}] /Rotate {page.rotate} "
            f"/Contents {4 + 2 * index} 0 R /Resources << /Font << /F1 {font} 0 R >> >> >>"
        )
        colour = " ".join(f"{part / 255:.3f}" for part in page.colour)
        drawing = f"{colour} rg 0 {page.height / 2} {page.width / 2} {page.height / 2} re f"
        if page.text:
            drawing += f" BT 0 g /F1 18 Tf 12 20 Td ({page.text}) Tj ET"
        objects.append(f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    return written(path, objects)


def written(path: Path, objects: list[str]) -> Path:
    """Write these objects with a valid cross-reference table; the first one is the catalogue."""
    body, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    path.write_bytes(body + f"{trailer}startxref\n{len(body)}\n%%EOF\n".encode())
    return path


def form_bomb(path: Path, *, depth: int = 12, times: int = 12) -> Path:
    """A page whose form draws another form twelve times, and so on; the last one draws the first."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"]
    inner = "/Resources << /XObject << /X {} 0 R >> >>"
    objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R {inner.format(5)} >>")
    objects.append("<< /Length 5 >>\nstream\n/X Do\nendstream")
    drawing = "/X Do 0 0 9 9 re f " * times
    for number in range(depth):
        entries = f"/Type /XObject /Subtype /Form /BBox [0 0 100 100] {inner.format(5 + (number + 1) % depth)}"
        objects.append(f"<< {entries} /Length {len(drawing)} >>\nstream\n{drawing}\nendstream")
    return written(path, objects)
