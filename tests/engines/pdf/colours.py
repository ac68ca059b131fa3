"""Recognises pages of PDFs by their colour and size, as pdfium draws them."""

from pathlib import Path

import pypdfium2

RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)
NAMES = {RED: "red", GREEN: "green", BLUE: "blue", BLACK: "black"}


def colours(path: Path) -> list[str]:
    """Which page is which, by what pdfium draws into its upper left quarter as it lies in the file."""
    with pypdfium2.PdfDocument(path) as opened:
        return [_colour(opened[index]) for index in range(len(opened))]


def sizes(path: Path) -> list[tuple[float, float]]:
    """Width and height of every page in points, as displayed."""
    with pypdfium2.PdfDocument(path) as opened:
        return [opened.get_page_size(index) for index in range(len(opened))]


def _colour(page: pypdfium2.PdfPage) -> str:
    picture = page.render(scale=0.25, rotation=-page.get_rotation() % 360).to_pil().convert("RGB")
    pixel = picture.getpixel((picture.width // 4, picture.height // 4))
    assert isinstance(pixel, tuple)
    nearest = min(NAMES, key=lambda colour: sum(abs(a - b) for a, b in zip(colour, pixel, strict=True)))
    return NAMES[nearest]
