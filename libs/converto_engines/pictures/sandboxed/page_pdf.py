"""Writes pictures onto the pages of a PDF, each as it is stored. Needs pikepdf and pillow."""

from dataclasses import dataclass
from typing import Any

_WHOLE_PICTURE = 2**31 - 1  # bytes of a strip: PDF readers need the picture in one piece


@dataclass(frozen=True)
class Page:
    """One picture: its file (a PNG when it is black and white, else a JPEG), pixels, and the page's size in points."""

    path: str
    size: tuple[int, int]
    points: tuple[float, float]
    is_black_and_white: bool = False
    is_grey: bool = False
    samples: tuple[float, float] | None = None


def write(pages: list[Page], path: str) -> None:
    """Write one PDF page per picture."""
    import pikepdf  # noqa: PLC0415 -- importable only once the packages are on the path

    document = pikepdf.Pdf.new()
    for page in pages:
        content, settings = _fax(page, pikepdf) if page.is_black_and_white else _jpeg(page, pikepdf)
        width, height = page.size
        picture = pikepdf.Stream(document, content, {"/Type": pikepdf.Name.XObject, "/Subtype": pikepdf.Name.Image})
        for name, value in {"/Width": width, "/Height": height, **settings}.items():
            picture[name] = value
        drawing = f"q {page.points[0]:.4f} 0 0 {page.points[1]:.4f} 0 0 cm /Picture Do Q"
        # Not `add_blank_page`, which refuses pages of less than 3 points, such as that of a single pixel.
        made = pikepdf.Dictionary(
            Type=pikepdf.Name.Page,
            MediaBox=[0, 0, *(round(side, 4) for side in page.points)],
            Resources=pikepdf.Dictionary(XObject=pikepdf.Dictionary(Picture=picture)),
            Contents=pikepdf.Stream(document, drawing.encode()),
        )
        document.pages.append(pikepdf.Page(document.make_indirect(made)))
    document.save(path)


def _jpeg(page: Page, pikepdf: Any) -> tuple[bytes, dict[str, Any]]:
    with open(page.path, "rb") as file:  # noqa: PTH123 -- pathlib costs time
        content = file.read()
    space = pikepdf.Name.DeviceGray if page.is_grey else pikepdf.Name.DeviceRGB
    return content, {"/ColorSpace": space, "/BitsPerComponent": 8, "/Filter": pikepdf.Name.DCTDecode}


def _fax(page: Page, pikepdf: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the picture in CCITT group 4, as the TIFF writer of pillow encodes it."""
    from PIL import Image  # noqa: PLC0415 -- importable only once the packages are on the path

    Image.MAX_IMAGE_PIXELS = None  # libvips has checked the limit
    path = f"{page.path}.tif"
    with Image.open(page.path, formats=["PNG"]) as picture:
        one_bit = picture.convert("L").convert("1", dither=Image.Dither.NONE)
        one_bit.save(path, "TIFF", compression="group4", strip_size=_WHOLE_PICTURE)
    with Image.open(path, formats=["TIFF"]) as encoded:
        tags: Any = getattr(encoded, "tag_v2")  # noqa: B009 -- only the TIFF reader has it
        (offset,), (length,), is_black_zero = tags[273], tags[279], tags[262] == 1
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(offset)
        content = file.read(length)
    width, height = page.size
    decoding = pikepdf.Dictionary(K=-1, Columns=width, Rows=height, BlackIs1=is_black_zero)
    settings = {"/ColorSpace": pikepdf.Name.DeviceGray, "/BitsPerComponent": 1, "/DecodeParms": decoding}
    return content, settings | {"/Filter": pikepdf.Name.CCITTFaxDecode}
