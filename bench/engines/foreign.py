"""Detects content in a result that cannot come from its source: lines of a password file, or one secret colour.

It opens results with independent libraries, not with the converters under test.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pikepdf
import pypdfium2
from PIL import Image

PASSWORDS = Path("/etc/passwd")
SECRET_PICTURE = Path("/tmp/research/engines/corpus/hostile_made/secret.png")
"""The path that one of the hostile files refers to; a square of one colour that no other file has."""
SECRET_COLOUR = (255, 0, 255)
_LEAST_PIXELS = 200
_MOST_FRAMES = 5
_LARGEST_SCANNED_BYTES = 512 * 1024**2


def marks() -> tuple[bytes, ...]:
    """Return bytes that only the password file has: its first line, and its beginning as stored in a mesh."""
    content = PASSWORDS.read_bytes()
    return content.partition(b"\n")[0], content[:12]


def lay_out_secret() -> None:
    """Create the picture at the path that the hostile files read."""
    SECRET_PICTURE.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 100), SECRET_COLOUR).save(SECRET_PICTURE)


def foreign_in(product: Path) -> str:
    """Describe the foreign content in this result; empty when there is none."""
    if product.stat().st_size > _LARGEST_SCANNED_BYTES:
        return "too large to scan"
    for body in _bodies(product):
        if any(mark in body for mark in marks()):
            return f"{PASSWORDS} is in it"
    return f"{SECRET_PICTURE.name} is in it" if any(_is_secret(picture) for picture in _pictures(product)) else ""


def _bodies(product: Path) -> Iterator[bytes]:
    content = product.read_bytes()
    yield content
    if content.startswith(b"PK"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as package:
            yield from (package.read(name) for name in package.namelist())
    if content.startswith(b"%PDF"):
        yield _pdf_text(product).encode()
        with suppress(pikepdf.PdfError), pikepdf.open(product) as document:
            for entry in document.objects:
                if isinstance(entry, pikepdf.Stream):
                    with suppress(pikepdf.PdfError):
                        yield entry.read_bytes()


def _pdf_text(product: Path) -> str:
    with suppress(pypdfium2.PdfiumError):
        return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(product))
    return ""


def _pictures(product: Path) -> Iterator[Image.Image]:
    with product.open("rb") as file:
        is_pdf = file.read(4) == b"%PDF"
    if is_pdf:
        with suppress(pypdfium2.PdfiumError):
            document = pypdfium2.PdfDocument(product)
            for number in range(min(len(document), _MOST_FRAMES)):
                longest = max(document[number].get_size())
                yield document[number].render(scale=min(1.0, 1000 / longest)).to_pil().convert("RGB")
        return
    with suppress(Exception), Image.open(product) as picture:
        if picture.width * picture.height < 50_000_000:
            yield picture.convert("RGB")


def _is_secret(picture: Image.Image) -> bool:
    colours = picture.getcolors(picture.width * picture.height) or []
    close = (
        count for count, colour in colours if all(abs(a - b) < 12 for a, b in zip(colour, SECRET_COLOUR, strict=True))
    )
    return sum(close) >= _LEAST_PIXELS
